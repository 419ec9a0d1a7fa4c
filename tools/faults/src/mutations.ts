/**
 * Faults that somebody could build into the product, each as a small change to one compiled file. The checker must find each of them:
 * `npm run faults -- --mutation all --small`.
 */
export interface Mutation {
  name: string;
  what: string;
  /** Compiled, from the root. */
  file: string;
  /** Stands there exactly once. */
  find: string;
  replace: string;
}

const RUN_COMMAND = 'apps/action-runner/dist/run-command.js';
const PARTITION = 'libs/jetstream/dist/owned-partition.js';
const QUEUE = 'libs/jetstream/dist/keyed-queue.js';

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'plain-outcome',
    what: 'the outcome is stored also when there is one',
    file: 'libs/jetstream/dist/outcome-publisher.js',
    find: 'let lines = OUTCOME_HEADERS + headerLine(HEADER.msgId, command.correlation_id);',
    replace: 'let lines = headerLine(HEADER.contentType, JSON_CONTENT_TYPE);',
  },
  {
    name: 'no-look-up',
    what: 'a new owner does not look up what has ended',
    file: PARTITION,
    find: 'while (!this.#stopped) {\n            try {\n                const stored',
    replace: 'while (false) {\n            try {\n                const stored',
  },
  {
    name: 'no-reset',
    what: 'a new owner reads on from the end of the stream',
    file: PARTITION,
    find: 'this.#position = this.#startFloor;',
    replace: 'this.#position = state.last_seq;',
  },
  {
    name: 'late-start',
    what: 'a command is started after its deadline too',
    file: RUN_COMMAND,
    find: 'return Date.now() >= Date.parse(command.deadline_at);',
    replace: 'return false;',
  },
  {
    name: 'early-deadline',
    what: 'the deadline fires a tenth of a second early',
    file: RUN_COMMAND,
    find: 'Math.min(Date.parse(command.deadline_at) - Date.now(), MAX_TIMER_MS)',
    replace: 'Math.min(Date.parse(command.deadline_at) - Date.now() - 100, MAX_TIMER_MS)',
  },
  {
    name: 'begun-forgotten',
    what: 'what an earlier owner has begun is not looked up',
    file: RUN_COMMAND,
    find: 'if (!delivery.mayHaveBegun)\n',
    replace: 'if (delivery)\n',
  },
  {
    name: 'all-repeatable',
    what: 'what must not be repeated is treated as if it may be',
    file: RUN_COMMAND,
    find: 'return !attributes.idempotent && !attributes.read_only;',
    replace: 'return false;',
  },
  {
    name: 'key-released',
    what: 'a key goes on while its first command waits for another attempt',
    file: QUEUE,
    find: "line.state = 'waiting';\n",
    replace:
      "const [first] = [line.items.first]; line.remove(); line.add(first); if (line.items.first !== first) { this.#makeReady(line); this.#start(); return; }\n            line.state = 'waiting';\n",
  },
  {
    name: 'priority-in-key',
    what: 'a command of high priority overtakes its own key',
    file: QUEUE,
    find: 'this.items.push(item);\n',
    replace:
      "this.items.push(item);\n        if (item.priority === 'high') this.items.putFirst((each) => each === item, this.state === 'running' ? 1 : 0);\n",
  },
  {
    name: 'cancel-unsaid',
    what: 'the runner is not told that a command was cancelled',
    file: 'libs/jetstream/dist/command-client.js',
    find: ".request(abortSubject(tenantId, correlationId), '', { timeout: ABORT_ANSWER_MS })",
    replace: ".request('abort.nobody.nothing', '', { timeout: 1 })",
  },
  {
    name: 'no-halt',
    what: 'a dead letter does not halt its key',
    file: RUN_COMMAND,
    find: "action.descriptor.on_dead_letter === 'halt'",
    replace: 'false',
  },
  {
    name: 'no-letter',
    what: 'a command gives up without a dead letter',
    file: RUN_COMMAND,
    find: 'await this.#insist(delivery, correlationId, () => this.deps.deadLetters.publish(letter, data));',
    replace: 'void [letter, correlationId, data];',
  },
  {
    name: 'one-attempt-more',
    what: 'there is one attempt more than the policy says',
    file: RUN_COMMAND,
    find: 'if (attempt >= action.descriptor.retry.max_attempts)',
    replace: 'if (attempt >= action.descriptor.retry.max_attempts + 1)',
  },
  {
    name: 'plain-command',
    what: 'a command is stored also when there is one of its id',
    file: 'libs/jetstream/dist/command-client.js',
    find: '`${COMMAND_HEADERS}${headerLine(HEADER.msgId, envelope.correlation_id)}${SUBMISSION_HEADER}',
    replace: '`${headerLine(HEADER.contentType, JSON_CONTENT_TYPE)}${SUBMISSION_HEADER}',
  },
];
