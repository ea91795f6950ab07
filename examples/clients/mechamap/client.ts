// Follows a thread over the official Centrifuge client, and says that somebody is typing.
import { Centrifuge } from "centrifuge";

import type { AnyEnvelope, Channel, Publication } from "./events.js";

export function follow(url: string, token: string, thread: number, show: (line: string) => void): Centrifuge {
  const client = new Centrifuge(url, { token });
  const channel: Channel = `thread.${thread}`;
  const subscription = client.newSubscription(channel, { recoverable: true });
  subscription.on("publication", ({ data }) => show(line(data as AnyEnvelope)));
  subscription.subscribe();
  client.connect();
  return client;
}

export async function type(client: Centrifuge, thread: number, user: { id: number; name: string }): Promise<void> {
  const publication: Publication<"forum.typing.started"> = {
    event: "forum.typing.started",
    data: { user, expires_at: new Date(Date.now() + 5_000).toISOString() },
  };
  await client.publish(`thread.${thread}`, publication);
}

function line(envelope: AnyEnvelope): string {
  switch (envelope.event) {
    case "forum.comment.created": {
      const { comment, thread } = envelope.data;
      const answers = comment.parent_id === null ? "" : ` to ${comment.parent_id.toFixed()}`;
      return `${comment.user.name} answered${answers} in ${thread.title}: ${comment.content}`;
    }
    case "forum.reaction.added":
      return `${envelope.data.new_count} × ${envelope.data.reaction_type}`;
    case "forum.typing.started":
      return `${envelope.data.user.name} is typing until ${envelope.data.expires_at}`;
    default:
      return `${envelope.event} on ${envelope.channel}`;
  }
}
