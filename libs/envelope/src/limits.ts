/** Sizes that hold everywhere, because a subject, a header or a stream message must carry them. */
export const LIMITS = {
  /** Characters of a tenant, user, ordering key or idempotency key. */
  nameChars: 256,
  /** Groups of a principal that travel with its command. */
  groups: 128,
  /** Characters of a tool, and of a method. */
  actionNameChars: 64,
  /** Characters of a subject. A server cuts the connection of whoever sends a longer line than 4 KiB, with all that it carries. */
  subjectChars: 3_800,
  /** Bytes of a command's JSON, which travels in one NATS message. */
  envelopeBytes: 1024 * 1024 - 16 * 1024,
  /** Bytes of an outcome's JSON. */
  outcomeBytes: 1024 * 1024 - 16 * 1024,
  /** Ids that a redriven command names as those before it. */
  lineage: 32,
  /** Nesting of arguments. */
  depth: 64,
  minDeadlineMs: 1,
  /** Half of the shortest time for which commands are kept: a command must not be gone before it has ended. */
  maxDeadlineMs: 12 * 3600 * 1000,
} as const;
