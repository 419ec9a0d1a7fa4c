/** Letters about events that the privacy filter holds back: what an operator needs to decide, and nothing that the event says. */
import { HEADER, JSON_CONTENT_TYPE } from '@callboard/envelope';
import { headerLine, type AckedPublisher } from './acked-publisher.js';
import type { DeadLetter } from './dead-letters.js';

/** A held event, as its letter has it. Its content and its key are in EVENTS_HELD, for the filter alone. */
export interface HeldEvent {
  /** `e_…`, its name from its source to its reader. */
  name: string;
  tenant_id: string;
  source: string;
  topic: string;
  content: 'json' | 'text' | 'other';
  data_bytes: number;
}

export interface HeldLetter extends DeadLetter {
  event: HeldEvent;
}

const TIMEOUT_MS = 3_600_000;
const HEAD = headerLine(HEADER.contentType, JSON_CONTENT_TYPE) + headerLine(HEADER.expectedLastSubjectSequence, '0');

export class HeldLetterPublisher {
  constructor(private readonly publisher: AckedPublisher) {}

  /** Resolves when there is a letter about the event; the first one stays. */
  async publish(letter: HeldLetter): Promise<void> {
    const text = JSON.stringify({ ...letter, at: new Date().toISOString() });
    await this.publisher.publishOnce(`dlq.${letter.stream}.${letter.subject}`, Buffer.from(text), HEAD, TIMEOUT_MS);
  }
}
