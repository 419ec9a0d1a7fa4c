import type { ServerResponse } from 'node:http';

/**
 * Resolves when a client has read so much that little is waiting for it, or is gone.
 * @param most bytes that may wait; not less than what makes the response say when it has drained
 */
export async function untilRead(res: ServerResponse, most = res.writableHighWaterMark): Promise<void> {
  if (res.destroyed || res.writableEnded || res.writableLength <= most) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      res.off('drain', done).off('close', done);
      resolve();
    };
    res.once('drain', done).once('close', done);
  });
}
