export { AckedPublisher, PublishRefused, PublishTimeout, headerLine, type PublishAck } from './acked-publisher.js';
export { TopologyError, applyTopology, checkTopology, type TopologyDifference } from './apply.js';
export { CommandClient, type CommandClientOptions, type Submission, type SubmitOptions } from './command-client.js';
export { CommandConsumer, type CommandConsumerOptions, type Delivery, type Handled } from './command-consumer.js';
export { connectNats, onConnectionChange, type NatsOptions } from './connect.js';
export { JetStreamServer } from './jetstream-server.js';
export { KeyValueStore, type KeyValueEntry } from './key-value-store.js';
export {
  DeadLetterBox,
  redriveAll,
  redrivenCommand,
  type KeptLetter,
  type LetterFilter,
  type Redrive,
  type Redriven,
} from './dead-letter-box.js';
export { DeadLetterPublisher, type DeadLetter } from './dead-letters.js';
export { KeyedQueue } from './keyed-queue.js';
export { OutcomePublisher, type Ending, type Written } from './outcome-publisher.js';
export { ProgressLog } from './progress-log.js';
export { PartitionLeases, type Lease, type LeaseEvents } from './partition-leases.js';
export { readSubject } from './read-subject.js';
export { SequenceWindow } from './sequence-window.js';
export {
  BUCKET,
  DEFAULT_TOPOLOGY,
  OWNER_GROUP,
  STREAM,
  declareTopology,
  inboxPrefix,
  partitionConsumerName,
  type DeclaredStream,
  type DeclaredUser,
  type Topology,
  type TopologyOptions,
} from './topology.js';
