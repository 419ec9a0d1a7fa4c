/**
 * Which sources and topics there are events of, by tenant: what was seen of EVENTS, newest last. Bounded: of what is too much, what was silent
 * longest is forgotten first. It is still there for who names it.
 */
export interface TopicSeen {
  source: string;
  topic: string;
  /** Of its last event. */
  sequence: number;
  at: Date;
}

const MAX_TENANTS = 10_000;
const MAX_TOPICS_OF_TENANT = 1_000;

export class EventTopics {
  readonly #tenants = new Map<string, Map<string, TopicSeen>>();

  see(tenantId: string, seen: TopicSeen): void {
    const topics = this.#tenants.get(tenantId) ?? new Map<string, TopicSeen>();
    putLast(this.#tenants, tenantId, topics, MAX_TENANTS);
    putLast(topics, `${seen.source}/${seen.topic}`, seen, MAX_TOPICS_OF_TENANT);
  }

  clear(): void {
    this.#tenants.clear();
  }

  /** Those of a tenant with an event since a time, by name. */
  of(tenantId: string, since: Date): TopicSeen[] {
    const seen = [...(this.#tenants.get(tenantId)?.values() ?? [])].filter(({ at }) => at >= since);
    return seen.sort((a, b) => compare(a.source, b.source) || compare(a.topic, b.topic));
  }

  /** Sequence of the last event of a tenant that was seen, of a source or topic of it; 0 when there was none. */
  lastSequence(tenantId: string, source?: string, topic?: string): number {
    let last = 0;
    for (const seen of this.#tenants.get(tenantId)?.values() ?? []) {
      if ((source === undefined || seen.source === source) && (topic === undefined || seen.topic === topic)) {
        last = Math.max(last, seen.sequence);
      }
    }
    return last;
  }
}

/** In the order of use: what comes first was used longest ago. */
function putLast<Value>(map: Map<string, Value>, key: string, value: Value, most: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > most) map.delete(map.keys().next().value!);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
