// Shows a user's quests and rewards as they come, over the official Centrifuge client.
import { Centrifuge } from "centrifuge";

import type { AnyEnvelope, Channel } from "./events.js";

export function watch(url: string, token: string, user: string, show: (line: string) => void): Centrifuge {
  const client = new Centrifuge(url, { token });
  const channel: Channel = `user.${user}`;
  const subscription = client.newSubscription(channel, { recoverable: true });
  subscription.on("publication", ({ data }) => {
    const text = line(data as AnyEnvelope);
    if (text !== undefined) show(text);
  });
  subscription.subscribe();
  client.connect();
  return client;
}

function line(envelope: AnyEnvelope): string | undefined {
  switch (envelope.type) {
    case "quest.progress_updated":
      return `${envelope.data.name ?? envelope.data.questId}: ${envelope.data.progress ?? 0} %`;
    case "quest.completed":
      return `Done: ${envelope.data.name ?? envelope.data.questId}`;
    case "reward.created":
      return `${envelope.data.name} waits for you`;
    case "notification.created":
      return `${envelope.data.title}: ${envelope.data.message}`;
    default:
      return undefined;
  }
}
