/** Between Node's request and response and the web's, for the SDK's handlers. */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** The request without its body, which was read before; aborted when the client goes away. */
export function toWebRequest(req: IncomingMessage, res: ServerResponse): Request {
  const headers = new Headers();
  for (const [name, value] of Object.entries(req.headers)) {
    if (typeof value === 'string') headers.set(name, value);
  }
  const gone = new AbortController();
  res.once('close', () => gone.abort());
  return new Request('http://callboard.invalid/mcp', { method: req.method ?? 'GET', headers, signal: gone.signal });
}

/** Writes a response as it comes; a body that is complete goes out with its length. */
export async function sendWebResponse(response: Response, res: ServerResponse): Promise<void> {
  if (res.destroyed) {
    await response.body?.cancel();
    return;
  }
  // Whether the connection stays open is between Node and the client.
  const { connection: _, ...headers } = Object.fromEntries(response.headers);
  if (!response.body || !response.headers.get('content-type')?.startsWith('text/event-stream')) {
    const text = response.body ? await response.text() : '';
    res.writeHead(response.status, { ...headers, 'content-length': Buffer.byteLength(text) }).end(text);
    return;
  }
  res.writeHead(response.status, headers);
  res.flushHeaders();
  for await (const chunk of response.body) {
    // The reader of a client that went away is cancelled by leaving the loop.
    if (res.destroyed) break;
    if (!res.write(chunk) && !res.destroyed) await Promise.race([once(res, 'drain'), once(res, 'close')]);
  }
  res.end();
}
