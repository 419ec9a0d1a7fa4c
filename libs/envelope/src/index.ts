export { callbackKey, readCallbackToken, writeCallbackToken, type CallbackRight } from './callback-token.js';
export {
  CommandEnvelope,
  Compensation,
  ENVELOPE_VERSION,
  PRIORITIES,
  parseEnvelope,
  type JsonObject,
  type Priority,
} from './envelope.js';
export { CallboardError, ERROR_CODES, type ErrorBody, type ErrorCode, type ErrorKind } from './errors.js';
export {
  grownPercent,
  progressText,
  readFarSideAnswer,
  readFarSideProgress,
  readFarSideQuestion,
  type FarSideAnswer,
  type FarSideError,
  type FarSideProgress,
  type FarSideQuestion,
} from './far-side.js';
export {
  EVENT_SUBJECTS,
  HELD_EVENT_SUBJECTS,
  RAW_EVENT_SUBJECTS,
  eventSubject,
  eventSubjects,
  heldEventSubject,
  heldLetterSubject,
  parseEventSubject,
  parseHeldEventSubject,
  parseRawEventSubject,
  rawEventSubject,
  rawPartitionSubjects,
  storedEventSubjects,
  storedHeldEventSubjects,
  storedHeldLetterSubjects,
  storedRawEventSubjects,
  type EventAddress,
} from './event-subjects.js';
export { HEADER, JSON_CONTENT_TYPE } from './headers.js';
export {
  commandFingerprint,
  fingerprint,
  idempotentCorrelationId,
  newCorrelationId,
  redriveCorrelationId,
  type IdempotencyScope,
} from './ids.js';
export { LIMITS } from './limits.js';
export {
  LOG_LEVELS,
  OUTCOME_STATUSES,
  parseAcceptedRecord,
  parseOutcome,
  type AcceptedRecord,
  type AttemptFact,
  type InputRequest,
  type LogLevel,
  type Outcome,
  type OutcomeStatus,
  type Progress,
} from './outcome.js';
export { commandOfSchedule, tickCorrelationId, type ScheduledCommand, type Tick } from './schedule.js';
export {
  COMMAND_SUBJECTS,
  LIVE_PREFIX,
  abortSubject,
  actionId,
  answerSubject,
  attemptSubject,
  attemptSubjects,
  commandSubject,
  deadlineSubject,
  dispatchSubject,
  dueSubject,
  handedSubject,
  inputKeyOf,
  inputSubject,
  outcomeSubject,
  parseActionId,
  parseScheduleSubject,
  parseStoredCommandSubject,
  partitionSubjects,
  progressSubject,
  scheduleSubject,
  storedCommandSubjects,
  tickSubject,
  unscheduleSubject,
  type ActionName,
  type CommandAddress,
} from './subjects.js';
export { decodeToken, encodeToken, isWellFormed } from './token.js';
