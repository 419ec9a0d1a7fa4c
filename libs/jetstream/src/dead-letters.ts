import { HEADER, JSON_CONTENT_TYPE, type ErrorBody } from '@callboard/envelope';
import { PublishRefused, headerLine, type AckedPublisher } from './acked-publisher.js';

/** What gave up, with all that is needed to understand it and to send it again. */
export interface DeadLetter {
  /** Stable code of the reason. */
  reason: string;
  attempts: number;
  last_error?: ErrorBody;
  /** Where it came from. */
  stream: string;
  subject: string;
  sequence: number;
  /** The message as it was, as text. */
  message: string;
  at: string;
}

const TIMEOUT_MS = 3_600_000;

export class DeadLetterPublisher {
  constructor(private readonly publisher: AckedPublisher) {}

  /** Resolves when the dead letter is durable, at `dlq.<stream>.<original subject>`; once, however often it is tried. */
  async publish(letter: DeadLetter): Promise<void> {
    const head =
      headerLine(HEADER.contentType, JSON_CONTENT_TYPE) +
      headerLine(HEADER.msgId, `${letter.stream}:${letter.sequence}`) +
      headerLine(HEADER.expectedLastSubjectSequence, '0');
    const subject = `dlq.${letter.stream}.${letter.subject}`;
    await this.publisher
      .publish(subject, Buffer.from(JSON.stringify(letter)), head, TIMEOUT_MS)
      .catch((error: unknown) => {
        if (!(error instanceof PublishRefused && error.isWrongLastSequence)) throw error;
      });
  }
}
