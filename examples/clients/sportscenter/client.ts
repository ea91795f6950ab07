// Shows an athlete's training as it happens, over an EventSource: it names no channel, because the
// server subscribes every client to what it may see.
import type { AnyEnvelope } from "./events.js";

export function watch(url: string, token: string, show: (line: string) => void): EventSource {
  const source = new EventSource(`${url}/sse?token=${encodeURIComponent(token)}`);
  source.onmessage = ({ data }: MessageEvent<string>) => {
    const text = line(JSON.parse(data) as AnyEnvelope);
    if (text !== undefined) show(text);
  };
  return source;
}

function line(envelope: AnyEnvelope): string | undefined {
  switch (envelope.event) {
    case "session:feedback":
      return `${envelope.data.from.role}: ${envelope.data.content}`;
    case "metric:recorded": {
      const { type, value, unit } = envelope.data;
      return `${type} ${value.toFixed(1)} ${unit}`;
    }
    case "goal:update":
      return `${envelope.data.type} ${(envelope.data.progress ?? 0).toFixed()} %`;
    case "ratelimit/limit-warning":
      return `${envelope.data["usage-percent"].toFixed()} % of what you may send is used`;
    default:
      return undefined;
  }
}
