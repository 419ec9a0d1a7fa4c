export { AckedPublisher, PublishRefused, PublishTimeout, type PublishAck } from './acked-publisher.js';
export { TopologyError, applyTopology, checkTopology, type TopologyDifference } from './apply.js';
export { CommandClient, commandFingerprint, type CommandClientOptions, type Submission, type SubmitOptions } from './command-client.js';
export { connectNats, onConnectionChange, type NatsOptions } from './connect.js';
export { KeyValueStore, type KeyValueEntry } from './key-value-store.js';
export { OutcomePublisher, type Ending, type Written } from './outcome-publisher.js';
export {
  BUCKET,
  DEFAULT_TOPOLOGY,
  OWNER_GROUP,
  STREAM,
  declareTopology,
  inboxPrefix,
  partitionConsumer,
  type DeclaredStream,
  type DeclaredUser,
  type Topology,
  type TopologyOptions,
} from './topology.js';
