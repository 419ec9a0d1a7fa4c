export {
  BACKSTAGE,
  GIT,
  JAVA,
  PYTHON,
  PYTHON_WITH_VENV,
  SCAFFOLDER_BACKSTAGE,
  describeWith,
  type Program,
} from './describe-with.js';
export { findProgram } from './debian-program.js';
export { bash, missing, operatorTools, stepsOf, type Ran, type Step } from './page-commands.js';
export { installLocked, telling } from './install-once.js';
export { rawRequest, requestBytes, type HttpAnswer, type HttpHeaders } from './raw-http.js';
export { type Signals } from './backstage-signals.js';
export { startBackstage, type TestBackstage, type TestBackstageOptions } from './test-backstage.js';
export { RedactedEvents, type SpecEvent } from './redacted-events.js';
export { readRawEvents, type RawEvent } from './raw-events.js';
export { startApp, type TestApp } from './test-app.js';
export { readAudit, stopAudit } from './test-audit.js';
export { startTestCollector, type CollectedSpan, type TestCollector } from './test-collector.js';
export { testCommand } from './test-command.js';
export { startTestIssuer, type TestIssuer } from './test-issuer.js';
export { testPrincipal } from './test-principal.js';
export { startTestPostgres, type TestPostgres } from './test-postgres.js';
export { startNatsCluster, type NatsCluster } from './nats-cluster.js';
export { startTestNats, type TestNats, type TestNatsOptions } from './test-nats.js';
export { startScaffolder, type ScaffolderTask, type TestScaffolder } from './test-scaffolder.js';
export { CALLS, isAlive, startStack, type ReadyFile, type TestStack, type TestStackOptions } from './test-stack.js';
export { waitFor } from './wait-for.js';
