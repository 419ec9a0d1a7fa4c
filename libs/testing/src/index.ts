export { BACKSTAGE, GIT, JAVA, PYTHON, PYTHON_WITH_VENV, describeWith, type Program } from './describe-with.js';
export { installLocked, telling } from './install-once.js';
export { rawRequest, requestBytes, type HttpAnswer, type HttpHeaders } from './raw-http.js';
export { startBackstage, type TestBackstage, type TestBackstageOptions } from './test-backstage.js';
export { RedactedEvents, type SpecEvent } from './redacted-events.js';
export { testCommand } from './test-command.js';
export { startTestNats, type TestNats, type TestNatsOptions } from './test-nats.js';
export { isAlive, startStack, type ReadyFile, type TestStack, type TestStackOptions } from './test-stack.js';
export { waitFor } from './wait-for.js';
