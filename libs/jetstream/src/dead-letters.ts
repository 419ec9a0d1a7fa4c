import { HEADER, JSON_CONTENT_TYPE, LIMITS, type ErrorBody } from '@callboard/envelope';
import { headerLine, type AckedPublisher } from './acked-publisher.js';

/** Why a message gave up, and where it came from. */
export interface DeadLetter {
  /** Stable code of the reason. */
  reason: string;
  attempts: number;
  last_error?: ErrorBody;
  stream: string;
  subject: string;
  sequence: number;
}

const TIMEOUT_MS = 3_600_000;
const MOST_ERROR_CHARS = 1_000;
/** As JSON text, a character may take six bytes. */
const MOST_TEXT_CHARS = 100_000;

export class DeadLetterPublisher {
  constructor(private readonly publisher: AckedPublisher) {}

  /**
   * Resolves when the dead letter is durable, at `dlq.<stream>.<original subject>`; once, however often it is tried. It holds the
   * whole message as `envelope`, as it was; a message that is no JSON, or larger than a command may be, as the start of a text.
   */
  async publish(letter: DeadLetter, message: Uint8Array): Promise<void> {
    const head =
      headerLine(HEADER.contentType, JSON_CONTENT_TYPE) +
      headerLine(HEADER.msgId, `${letter.stream}:${letter.sequence}`) +
      headerLine(HEADER.expectedLastSubjectSequence, '0');
    const subject = `dlq.${letter.stream}.${letter.subject}`;
    await this.publisher.publishOnce(subject, Buffer.from(write(letter, message)), head, TIMEOUT_MS);
  }
}

function write({ last_error, ...letter }: DeadLetter, message: Uint8Array): string {
  const error = last_error && { ...last_error, message: last_error.message.slice(0, MOST_ERROR_CHARS) };
  const about = { ...letter, ...(error && { last_error: error }), at: new Date().toISOString() };
  const text = Buffer.from(message.buffer, message.byteOffset, message.byteLength).toString('utf8');
  if (message.byteLength > LIMITS.envelopeBytes || !isJson(text)) {
    return JSON.stringify({ ...about, message: text.slice(0, MOST_TEXT_CHARS) });
  }
  // Put in, not written anew: as a text within JSON it could outgrow what a message may hold, and its key would wait for ever.
  return `${JSON.stringify(about).slice(0, -1)},"envelope":${text}}`;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
