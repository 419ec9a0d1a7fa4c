/** Names of the NATS headers that Callboard sets or reads. */
export const HEADER = {
  contentType: 'Content-Type',
  msgId: 'Nats-Msg-Id',
  expectedLastSubjectSequence: 'Nats-Expected-Last-Subject-Sequence',
  schedule: 'Nats-Schedule',
  scheduleTarget: 'Nats-Schedule-Target',
  scheduleTimeZone: 'Nats-Schedule-Time-Zone',
  /** How long what a schedule fires is kept. */
  scheduleTtl: 'Nats-Schedule-TTL',
  /** Which schedule goes when this message is stored. */
  scheduler: 'Nats-Scheduler',
  scheduleNext: 'Nats-Schedule-Next',
  ttl: 'Nats-TTL',
  traceparent: 'traceparent',
  tracestate: 'tracestate',
  /** SHA-256 of what the caller asked for; two commands with one correlation id and two fingerprints are a conflict. */
  fingerprint: 'Callboard-Fingerprint',
  /** The command's priority, where it is not `normal`: the runner sorts before it reads the body. */
  priority: 'Callboard-Priority',
  /** Of an entry of a saga's journal: the phase of the saga after it, and which definition it follows. */
  sagaPhase: 'Callboard-Saga-Phase',
  sagaDefinition: 'Callboard-Saga-Definition',
  /** Of what a session of a tenant was sent: the tenant, as in a subject. The subject names the session only. */
  tenant: 'Callboard-Tenant',
  /** For processes that are not ours: what a handler in a runner has in its context. */
  attempt: 'Callboard-Attempt',
  fence: 'Callboard-Fence',
  deadline: 'Callboard-Deadline',
  idempotencyKey: 'Callboard-Idempotency-Key',
  /** Of a raw event whose data no message can carry: how many bytes there were. It has none. */
  oversized: 'Callboard-Oversized',
} as const;

export const JSON_CONTENT_TYPE = 'application/json';
