import { EVENT_LIMITS, eventAddress, toEventHeaders, type SourcedEvent } from '@callboard/events';
import { HEADER, rawEventSubject } from '@callboard/envelope';
import type { TraceContext } from '@callboard/tracing';
import { headerLine, traceLines, type AckedPublisher } from './acked-publisher.js';

const NOTHING = new Uint8Array();

/** Hands events to the privacy filter: for it alone they are stored, each once, those of one source and key in the order of these calls. */
export class RawEvents {
  constructor(private readonly publisher: AckedPublisher) {}

  /**
   * Resolves when the event is durable; `known` when it was before. Data that no message can carry is left out and its size said, for the
   * filter to hold the event back: a source that can refuse what is too large does so before. Where an event is not stored, those of its
   * source and key that were handed over after it, and are not stored yet, are not stored either.
   *
   * Not guaranteed: that an event which the filter is done with is still known here. It is, where the filter stores it.
   * @throws PublishRefused when the server refuses it, PublishTimeout after `timeoutMs` without an answer.
   */
  async publish(event: SourcedEvent, timeoutMs: number, trace: TraceContext = {}): Promise<'stored' | 'known'> {
    const { attributes, data } = event;
    const fits = data.byteLength <= EVENT_LIMITS.dataBytes;
    const headers =
      toEventHeaders(attributes)
        .map(([name, value]) => headerLine(name, value))
        .join('') +
      headerLine(HEADER.expectedLastSubjectSequence, '0') +
      (fits ? '' : headerLine(HEADER.oversized, String(data.byteLength))) +
      traceLines(trace);
    const subject = rawEventSubject(eventAddress(event));
    const line = `${event.tenantId}\n${event.sourceName}\n${event.key}`;
    const first = await this.publisher.publishOnce(subject, fits ? data : NOTHING, headers, timeoutMs, line);
    return first ? 'stored' : 'known';
  }
}
