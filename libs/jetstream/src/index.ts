export { CallerTokens, askForToken, type CallersCommand } from './caller-tokens.js';
export {
  AckedPublisher,
  PublishRefused,
  PublishTimeout,
  headerLine,
  traceLines,
  type PublishAck,
} from './acked-publisher.js';
export { backOffMs } from './back-off.js';
export { TopologyError, applyTopology, checkTopology, type TopologyDifference } from './apply.js';
export {
  CommandClient,
  type Cancelled,
  type CommandClientOptions,
  type CommandState,
  type OpenInputs,
  type Submission,
  type SubmitOptions,
} from './command-client.js';
export { publishTogether, type ConditionalMessage } from './atomic-batch.js';
export { AuditTrail, type AuditCount } from './audit-trail.js';
export { AttemptLog } from './attempt-log.js';
export { Bell } from './bell.js';
export { CommandConsumer, type CommandConsumerOptions } from './command-consumer.js';
export { onEnded, type Delivery, type Handled } from './delivery.js';
export { encodeCursor, parseCursor, type EventPosition } from './event-cursor.js';
export {
  EventReader,
  addressOf,
  isSelected,
  type EventPage,
  type EventRange,
  type EventScope,
  type EventSelection,
  type PageBounds,
  type StoredEvent,
} from './event-reader.js';
export { followEvents } from './follow-events.js';
export { Halts, haltKey, type Halt } from './halts.js';
export { InputExchange } from './input-exchange.js';
export {
  connectApp,
  connectNats,
  natsOptions,
  onConnectionChange,
  onDenied,
  watchConnection,
  type NatsOptions,
  type NatsTls,
  type NatsVariables,
} from './connect.js';
export { KeyValueStore, type KeyValueEntry } from './key-value-store.js';
export {
  DeadLetterBox,
  fitsLetter,
  redriveAll,
  redrivenCommand,
  type KeptLetter,
  type LetterFilter,
  type Redrive,
  type Redriven,
  type Released,
} from './dead-letter-box.js';
export { DeadLetterPublisher, type DeadLetter } from './dead-letters.js';
export {
  FILTER_QUEUE,
  FilterControl,
  filterVerbOf,
  type Erased,
  type ErasedEvents,
  type FilterAnswer,
  type FilterVerb,
  type FilterVerbs,
  type TenantRest,
} from './filter-control.js';
export {
  LEDGER_QUEUE,
  LedgerControl,
  ledgerRequestOf,
  type LedgerAnswer,
  type LedgerQuery,
  type LedgerSource,
  type LedgerStatus,
  type LedgerVerb,
  type LedgerVerbs,
} from './ledger-control.js';
export { fitting } from './fitting.js';
export { HeldLetterPublisher, type HeldEvent, type HeldLetter } from './held-letters.js';
export { KeyedQueue, type Again } from './keyed-queue.js';
export { DeadlineKeeper, acceptedRecord, scheduleDeadline } from './deadlines.js';
export { LOOKUP_MOST, storedAmong } from './outcome-lookup.js';
export { OutcomePublisher, type Ended, type Ending, type Written } from './outcome-publisher.js';
export { ProgressLog } from './progress-log.js';
export { LEASE_RENEW_MS, LEASE_TTL_MS, PartitionLeases, type Lease, type LeaseEvents } from './partition-leases.js';
export { isQuiet, partitionStates, type PartitionState } from './partition-states.js';
export { ScheduleRefused, Schedules, type Schedule, type When } from './schedules.js';
export { RawEvents } from './raw-events.js';
export { readStream, type StreamPage, type StreamedMessage } from './read-stream.js';
export { LastOfSubjects, type Pass } from './last-of-subjects.js';
export { countSubject, messagesAt, pendingAfter, readSubject } from './read-subject.js';
export { RequestAnswers } from './request-answers.js';
export { TENANTLESS, tenantPlaces, type TenantPlace } from './tenant-places.js';
export {
  AUDIT_VERBS,
  BUCKET,
  DEADLINES_CONSUMER,
  DEFAULT_TOPOLOGY,
  FILTER_VERBS,
  OWNER_GROUP,
  STREAM,
  TENANT_SEARCHES,
  TICKS_CONSUMER,
  USER_INFO,
  declareTopology,
  filterConsumerName,
  inboxPrefix,
  partitionConsumerName,
  partitionsOf,
  type DeclaredStream,
  type DeclaredUser,
  type Topology,
  type TopologyOptions,
} from './topology.js';
export { whenLed } from './when-led.js';
