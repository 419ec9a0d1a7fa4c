/** What streams of the 2026 revision are made of, as the SDK writes them. */
import type { JsonObject } from '@callboard/envelope';

export const KEEP_ALIVE_MS = 15_000;

export const SSE_HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
};

export function frame(message: JsonObject): string {
  return `event: message\ndata: ${JSON.stringify(message)}\n\n`;
}
