import type { ServerResponse } from 'node:http';
import type { Limit } from './limit.js';

/** How many requests are served at once, and how many bytes their bodies may have together. */
export interface Room {
  requests: Limit;
  bodies: Limit;
}

/**
 * Takes a place among the requests that are served at once, until its response is over. Returns how to ask for room for bytes of its body, which
 * are given back with it; `undefined` when there is no place.
 */
export function takeRoom(res: ServerResponse, { requests, bodies }: Room): ((bytes: number) => boolean) | undefined {
  if (!requests.tryTake()) return undefined;
  let kept = 0;
  res.once('close', () => {
    requests.release();
    bodies.release(kept);
  });
  return (bytes) => {
    if (!bodies.tryTake(bytes)) return false;
    kept += bytes;
    return true;
  };
}
