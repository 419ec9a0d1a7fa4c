/** What is stored of a tenant at one of its places. */
import { HEADER, encodeToken } from '@callboard/envelope';
import { countSubject, messagesAt, type TenantPlace } from '@callboard/jetstream';
import type { JetStreamManager, StoredMsg } from '@nats-io/jetstream';

/** By subject pattern, each in the order of the stream; of a bucket, the markers of keys that went a moment ago are not among them. */
export async function* messagesOf(
  jsm: JetStreamManager,
  { kind, stream, subjects }: TenantPlace,
  tenantId: string,
): AsyncGenerator<StoredMsg> {
  for (const subject of subjects) {
    for await (const message of messagesAt(jsm, stream, subject)) {
      if (kind === 'session messages' && message.header.get(HEADER.tenant) !== encodeToken(tenantId)) continue;
      if (stream.startsWith('KV_') && isMarker(message)) continue;
      if (kind === 'session records' && tenantOfSession(message) !== tenantId) continue;
      yield message;
    }
  }
}

/** How many; of a bucket with the markers. */
export async function countOf(jsm: JetStreamManager, place: TenantPlace, tenantId: string): Promise<number> {
  let count = 0;
  if (place.kind === 'session messages' || place.kind === 'session records') {
    for await (const _message of messagesOf(jsm, place, tenantId)) count += 1;
    return count;
  }
  for (const subject of place.subjects) count += await countSubject(jsm, place.stream, subject, 0);
  return count;
}

function isMarker({ header }: StoredMsg): boolean {
  return header.has('KV-Operation') || header.has('Nats-Marker-Reason');
}

/** A record that nobody of us wrote is of nobody. */
function tenantOfSession({ data }: StoredMsg): string | undefined {
  try {
    return (JSON.parse(Buffer.from(data).toString()) as { principal: { tenantId: string } }).principal.tenantId;
  } catch {
    return undefined;
  }
}
