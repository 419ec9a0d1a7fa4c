/**
 * Closing a connection whose client is still sending. To close it at once would reset it (RFC 9112, section 9.6), and the answer would be lost
 * with what was not read; so our side ends with the answer, and what still comes is thrown away, for a bounded time.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** As long as a client may need that reads only when it has sent everything. */
const LINGER_MS = 2_000;

/** Sees to it that the end of this answer is heard, should it be the last of its connection and come before the end of its request. */
export function lingerAfter(req: IncomingMessage, res: ServerResponse): void {
  // Before Node's own listener, which closes the connection.
  res.prependOnceListener('finish', () => {
    const { socket } = req;
    if (req.complete || socket.destroyed) return;
    // What Node calls when the answer was the last one.
    socket.destroySoon = () => {
      linger(socket);
      req.once('end', () => socket.destroy());
    };
  });
}

/** Ends our side, and closes the connection when the other has ended its own, or has had its time. */
export function linger(socket: Socket, last = ''): void {
  socket.end(last);
  const enough = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once('close', () => clearTimeout(enough));
}
