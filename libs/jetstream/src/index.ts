export { AckedPublisher, PublishRefused, PublishTimeout, headerLine, type PublishAck } from './acked-publisher.js';
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
export { connectApp, connectNats, onConnectionChange, watchConnection, type NatsOptions } from './connect.js';
export { KeyValueStore, type KeyValueEntry } from './key-value-store.js';
export {
  DeadLetterBox,
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
} from './filter-control.js';
export { HeldLetterPublisher, type HeldEvent, type HeldLetter } from './held-letters.js';
export { KeyedQueue, type Again } from './keyed-queue.js';
export { DeadlineKeeper, acceptedRecord, scheduleDeadline } from './deadlines.js';
export { OutcomePublisher, type Ended, type Ending, type Written } from './outcome-publisher.js';
export { ProgressLog } from './progress-log.js';
export { PartitionLeases, type Lease, type LeaseEvents } from './partition-leases.js';
export { isQuiet, partitionStates, type PartitionState } from './partition-states.js';
export { ScheduleRefused, Schedules, type Schedule, type When } from './schedules.js';
export { RawEvents } from './raw-events.js';
export { readSubject } from './read-subject.js';
export {
  BUCKET,
  DEADLINES_CONSUMER,
  DEFAULT_TOPOLOGY,
  FILTER_VERBS,
  OWNER_GROUP,
  STREAM,
  TICKS_CONSUMER,
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
