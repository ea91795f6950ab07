// Shows what happens to a user's NFTs, over an EventSource that goes on where it was cut.
import type { AnyEnvelope, Channel, ConnectionEstablished, GuideEnvelope, ServiceEnvelope } from "./events.js";

export function watch(url: string, token: string, user: number, show: (line: string) => void): EventSource {
  const channel: Channel = `user.${user}`;
  const query = new URLSearchParams({ channel, token });
  const source = new EventSource(`${url}/sse?${query.toString()}`);
  source.onmessage = ({ data }: MessageEvent<string>) => {
    const message = JSON.parse(data) as AnyEnvelope | ConnectionEstablished;
    // The first message is a welcome.
    const text = "eventType" in message ? line(message) : "connected";
    if (text !== undefined) show(text);
  };
  return source;
}

function line(envelope: AnyEnvelope): string | undefined {
  // The two documents have an event of this name with different data.
  if (envelope.eventType === "nft_unlocked") return isService(envelope) ? unlocked(envelope) : celebrated(envelope);
  switch (envelope.eventType) {
    case "rank_changed":
      return `rank ${envelope.data.oldRank} → ${envelope.data.newRank} in ${envelope.data.competitionName}`;
    case "transaction_failed":
      return envelope.data.retryable ? `${envelope.data.errorMessage}, you may try again` : envelope.data.errorMessage;
    default:
      return undefined;
  }
}

function isService(
  envelope: GuideEnvelope<"nft_unlocked"> | ServiceEnvelope<"nft_unlocked">,
): envelope is ServiceEnvelope<"nft_unlocked"> {
  return "eventId" in envelope;
}

function unlocked({ data }: ServiceEnvelope<"nft_unlocked">): string {
  return `${data.tierName} is yours`;
}

function celebrated({ data }: GuideEnvelope<"nft_unlocked">): string {
  return `${data.nftName} (level ${data.nftLevel}) is yours, worth ${data.estimatedValue.toFixed(2)} USDT`;
}
