import { randomUUID } from 'node:crypto';
import { eventSubject } from '@callboard/envelope';
import { eventAddress, toEventHeaders, type SourcedEvent } from '@callboard/events';
import { AckedPublisher, headerLine } from '@callboard/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';

export interface SpecEvent {
  tenantId?: string;
  source?: string;
  topic?: string;
  key?: string;
  id?: string;
  subject?: string;
  data?: unknown;
  extensions?: Record<string, string>;
}

/** Puts events where clients read them, as if the privacy filter had passed them. */
export class RedactedEvents {
  readonly #publisher: AckedPublisher;

  /** @param nc a connection as `pii-filter` */
  constructor(nc: NatsConnection) {
    this.#publisher = new AckedPublisher(nc);
  }

  /** Resolves with the CloudEvents id when the event is durable. */
  async store(event: SpecEvent = {}): Promise<string> {
    const { tenantId = 'default', source = 'github', topic = 'push', key = 'acme/web', id = randomUUID() } = event;
    const { subject, data = { n: 1 }, extensions = {} } = event;
    const sourced: SourcedEvent = {
      tenantId,
      sourceName: source,
      key,
      attributes: {
        id,
        source: `https://${source}.example`,
        type: topic,
        time: new Date().toISOString(),
        datacontenttype: 'application/json',
        ...(subject !== undefined && { subject }),
        extensions,
      },
      data: Buffer.from(JSON.stringify(data)),
    };
    const headers = toEventHeaders(sourced.attributes).map(([name, value]) => headerLine(name, value));
    await this.#publisher.publishOnce(eventSubject(eventAddress(sourced)), sourced.data, headers.join(''), 30_000);
    return id;
  }

  close(): void {
    this.#publisher.close();
  }
}
