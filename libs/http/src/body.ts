/** Reading what a client sends, before anything believes it: bounded in bytes, in time (by the HTTP server) and in depth. */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';

export type BodyEnd = { kind: 'read'; bytes: Buffer } | { kind: 'too_large' } | { kind: 'no_room' } | { kind: 'gone' };

/**
 * Calls back once. What comes after `too_large` or `no_room` is thrown away as it arrives.
 * @param keep asked before bytes are kept; whoever grants them takes them back
 */
export function readBody(
  req: IncomingMessage,
  maxBytes: number,
  keep: (bytes: number) => boolean,
  done: (end: BodyEnd) => void,
): void {
  if (Number(req.headers['content-length'] ?? 0) > maxBytes) {
    done({ kind: 'too_large' });
    return;
  }
  let chunks: Buffer[] = [];
  let size = 0;
  let ended = false;
  const end = (how: BodyEnd) => {
    if (ended) return;
    ended = true;
    done(how);
  };
  req.on('data', (chunk: Buffer) => {
    if (ended) return;
    size += chunk.length;
    if (size > maxBytes) {
      chunks = [];
      end({ kind: 'too_large' });
    } else if (!keep(chunk.length)) {
      chunks = [];
      end({ kind: 'no_room' });
    } else {
      chunks.push(chunk);
    }
  });
  req.on('end', () => end({ kind: 'read', bytes: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks) }));
  req.on('error', () => end({ kind: 'gone' }));
  req.on('close', () => end({ kind: 'gone' }));
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Looks at brackets outside of strings only; whether it is JSON at all is the parser's business. */
export function isNestedDeeperThan(limit: number, json: Uint8Array): boolean {
  let depth = 0;
  for (let i = 0; i < json.length; i++) {
    switch (json[i]) {
      case QUOTE:
        for (i++; i < json.length && json[i] !== QUOTE; i++) if (json[i] === BACKSLASH) i++;
        break;
      case OPEN_BRACKET:
      case OPEN_BRACE:
        if (++depth > limit) return true;
        break;
      case CLOSE_BRACKET:
      case CLOSE_BRACE:
        depth--;
        break;
    }
  }
  return false;
}

/** The value, or `undefined` (which JSON cannot say) when the bytes are not UTF-8 or not JSON. */
export function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) return undefined;
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}
