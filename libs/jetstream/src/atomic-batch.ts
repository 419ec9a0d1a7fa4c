/**
 * Several messages of one stream that are stored together or not at all, each with the condition under which it may be: that its
 * subject has not changed since it was read. It is a compare-and-set over many subjects at once.
 *
 * nats-server checks the conditions of a batch when it commits it (2.15.1: a batch of which one is wrong stores nothing, and the error, 10071,
 * does not say which). A batch has at most 1,000 messages, no two of them of one subject.
 */
import { randomBytes } from 'node:crypto';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { HEADER } from '@callboard/envelope';
import { PublishRefused, PublishTimeout } from './acked-publisher.js';

export interface ConditionalMessage {
  subject: string;
  data: Uint8Array;
  /** Sequence of the message that is the last of the subject; 0: there is none. */
  lastSequence: number;
  /** How long it is kept. */
  ttlMs?: number;
}

interface Answer {
  seq: number;
  error?: { code: number; err_code?: number; description?: string };
}

/**
 * Resolves with the sequence of each when all of them are stored.
 * @throws PublishRefused when none is, PublishTimeout when that is not known
 */
export async function publishTogether(
  nc: NatsConnection,
  messages: readonly ConditionalMessage[],
  timeoutMs: number,
): Promise<number[]> {
  const batch = randomBytes(12).toString('base64url');
  let answer: Answer | undefined;
  for (const [i, { subject, data, lastSequence, ttlMs }] of messages.entries()) {
    const head = headers();
    head.set('Nats-Batch-Id', batch);
    head.set('Nats-Batch-Sequence', String(i + 1));
    head.set(HEADER.expectedLastSubjectSequence, String(lastSequence));
    if (ttlMs !== undefined) head.set(HEADER.ttl, `${Math.max(1, Math.ceil(ttlMs / 1_000))}s`);
    if (i < messages.length - 1) {
      nc.publish(subject, data, { headers: head });
      continue;
    }
    head.set('Nats-Batch-Commit', '1');
    try {
      const reply = await nc.request(subject, data, { headers: head, timeout: timeoutMs });
      answer = reply.json<Answer>();
    } catch (cause) {
      throw new PublishTimeout('no acknowledgement of a batch', { cause });
    }
  }
  if (!answer) return [];
  if (answer.error) {
    throw new PublishRefused(answer.error.err_code ?? answer.error.code, answer.error.description ?? 'refused');
  }
  const first = answer.seq - messages.length + 1;
  return messages.map((_, i) => first + i);
}
