/** `callboard sagas …`: how sagas fare, and what an operator decides about those that cannot go on by themselves. */
import { Catalog } from '@callboard/actions';
import { AckedPublisher, BUCKET, KeyValueStore } from '@callboard/jetstream';
import {
  mayAnswer,
  plan,
  readDefinitions,
  sagaMermaid,
  sagaText,
  type OperatorVerb,
  type Plan,
  type SagaDefinition,
  type SagaInput,
} from '@callboard/saga';
import { SagaJournal, describeSaga, listSagas, type SagaRecord, type SagaView } from '@callboard/saga-journal';
import type { NatsConnection } from '@nats-io/transport-node';
import { Command, Option } from 'commander';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure, messageOf } from '../failure.js';
import { printJson, printTable } from '../print.js';
import {
  StackCommand,
  asUser,
  findStack,
  jsonOption,
  type StackCommandOptions,
  type StackWhere,
} from '../running-stack.js';
import { ageOf, parseCount } from '../when.js';

interface SagaOptions extends StackCommandOptions {
  tenant: string;
}

interface ListOptions extends StackCommandOptions {
  tenant?: string;
  phase?: string;
  limit: number;
}

interface DecideOptions extends SagaOptions {
  as: string;
  reason?: string;
}

interface AnswerOptions extends SagaOptions {
  as: string;
  comment?: string;
}

const LISTED = 100;
const TIMEOUT_MS = 10_000;
const ENDED = ['succeeded', 'compensated', 'failed'];

export function sagasCommand(): Command {
  const list = new StackCommand('list')
    .description('the sagas that there are journals of, those that changed last at the end')
    .option('--tenant <tenant>', 'only of this tenant')
    .option(
      '--phase <phase>',
      'only in this phase: running, halted, compensating, succeeded, …; open for all that have not ended',
    )
    .addOption(new Option('--limit <n>', 'show at most so many').argParser(parseCount).default(LISTED))
    .action(listAll);
  const show = ofSaga(new StackCommand('show')).description('one saga with its steps').action(showSaga);
  const verb = (name: OperatorVerb, description: string) =>
    inName(ofSaga(new StackCommand(name)))
      .description(description)
      .option('--reason <text>', 'why; kept with the saga')
      .action((id: string, options: DecideOptions) => decide(id, name, options));
  const answer = (name: string, approved: boolean, description: string) =>
    inName(ofSaga(new StackCommand(name)))
      .description(description)
      .argument('[step]', 'path of the approval step; not needed when only one waits')
      .option('--comment <text>', 'kept with the saga')
      .action((id: string, step: string | undefined, options: AnswerOptions) =>
        answerStep(id, step, approved, options),
      );
  const graph = ofSaga(new StackCommand('graph'))
    .description('the steps of a declared saga and how far it has come; of a definition, with --file')
    .option('--file <path>', 'a folder of definitions, or one file: then the argument is the id of a definition')
    .option('--mermaid', 'as a Mermaid flow chart', false)
    .action(graphSaga);
  const dryRun = new Command('plan')
    .description('what a definition would do with an input: its commands, and what undoes them')
    .argument('<path>', 'a folder of definitions, or one file')
    .argument('[id]', 'which of them; not needed when there is one')
    .option('--input <json>', 'input of the saga', '{}')
    .option('--outputs <json>', 'what steps are taken to return, by path', '{}')
    .option('--failing <step>', 'the step that is taken to fail')
    .addOption(jsonOption())
    .action(planSaga);
  const validate = new StackCommand('validate')
    .description('read saga definitions, and say every mistake with file, line, step and the way out')
    .argument('<path>', 'a folder of definitions, or one file')
    .option('--stack', 'also hold them against the actions of the stack that runs', false)
    .action(validateFiles);
  return new Command('sagas')
    .description('look at sagas, and decide about those that cannot go on by themselves')
    .addCommand(list)
    .addCommand(show)
    .addCommand(graph)
    .addCommand(verb('retry', 'try once more to undo the step for which a saga is halted'))
    .addCommand(verb('skip', 'leave the step for which a saga is halted as it is, and undo the others'))
    .addCommand(verb('abort', 'stop a saga and undo what it did; of a halted one, leave everything as it is'))
    .addCommand(answer('approve', true, 'say yes to a step that waits for approval'))
    .addCommand(answer('reject', false, 'say no to a step that waits for approval: what was done is undone'))
    .addCommand(validate)
    .addCommand(dryRun);
}

function ofSaga(command: Command): Command {
  return command
    .argument('<saga>', 'its id: the saga_id of its calls, or the correlation id of a declared saga')
    .option('--tenant <tenant>', 'its tenant', 'default');
}

function inName(command: Command): Command {
  return command.option('--as <user>', 'in whose name; approvers of a step are checked against it', 'operator');
}

async function listAll({ json, tenant, phase, limit, ...where }: ListOptions): Promise<void> {
  const all = await asUser(await findStack(where), 'operator', (nc) => listSagas(nc, tenant));
  const wanted = all.filter((saga) => {
    if (phase === undefined) return true;
    return phase === 'open' ? !ENDED.includes(saga.phase) : saga.phase === phase;
  });
  const sagas = wanted.slice(-limit);
  if (json) return printJson({ sagas, total: wanted.length });
  if (sagas.length === 0) return console.log('no sagas');
  printTable(
    ['saga', 'tenant', 'phase', 'definition', 'changed'],
    sagas.map((saga) => [saga.saga_id, saga.tenant_id, saga.phase, saga.definition ?? '', ageOf(saga.changed_at)]),
  );
  if (sagas.length < wanted.length) console.log(`and ${wanted.length - sagas.length} that changed before`);
}

async function showSaga(id: string, { json, tenant, ...where }: SagaOptions): Promise<void> {
  const view = await withJournal(where, async (journal) => describeSaga(await found(journal, tenant, id)));
  if (json) return printJson(view);
  print(view);
}

async function decide(id: string, verb: OperatorVerb, options: DecideOptions): Promise<void> {
  const { json, tenant, as: by, reason } = options;
  const at = new Date().toISOString();
  const why = reason === undefined ? {} : { reason };
  const view = await withJournal(options, async (journal) => {
    await found(journal, tenant, id);
    const { saga, taken } = await journal.tell(
      tenant,
      id,
      ({ state }): SagaInput[] =>
        state.phase === 'halted'
          ? [{ kind: 'operator', verb, at, by, ...why }]
          : verb === 'abort'
            ? [{ kind: 'abort', at, by, ...why }]
            : [],
      TIMEOUT_MS,
    );
    if (!taken) throw new Failure(`The saga ${id} is ${saga.state.phase}: there is nothing to ${verb}.`);
    return describeSaga(saga);
  });
  if (json) return printJson(view);
  console.log(`told the saga ${id} to ${verb}; it is ${view.phase} now`);
}

async function answerStep(
  id: string,
  named: string | undefined,
  approved: boolean,
  options: AnswerOptions,
): Promise<void> {
  const { json, tenant, as: by, comment } = options;
  const at = new Date().toISOString();
  const view = await withJournal(options, async (journal) => {
    await found(journal, tenant, id);
    const { saga } = await journal.tell(
      tenant,
      id,
      (saga) => {
        const step = waitingStep(saga, named);
        if (!mayAnswer(saga.state.steps[step]!, { by })) {
          const { approvers } = saga.state.steps[step]!.question!;
          throw new Failure(
            `${by} may not answer for ${step}; ${approvers.join(', ')} may. Say who answers with --as USER.`,
          );
        }
        return [{ kind: 'approval', at, step, approved, by, ...(comment !== undefined && { comment }) }];
      },
      TIMEOUT_MS,
    );
    return describeSaga(saga);
  });
  if (json) return printJson(view);
  console.log(`${approved ? 'approved' : 'rejected'}; the saga ${id} is ${view.phase} now`);
}

function waitingStep({ sagaId, state }: SagaRecord, named: string | undefined): string {
  const waiting = Object.keys(state.steps).filter(
    (path) => state.steps[path]!.question && state.steps[path]!.ended === undefined,
  );
  const [step, ...others] = named === undefined ? waiting : waiting.filter((path) => path === named);
  if (step === undefined) throw new Failure(`No step of the saga ${sagaId} waits for this answer.`);
  if (others.length > 0) throw new Failure(`Several steps wait: name one of ${waiting.join(', ')}.`);
  return step;
}

async function validateFiles(path: string, options: StackCommandOptions & { stack: boolean }): Promise<void> {
  const { json, stack } = options;
  const files = await readFiles(path);
  const catalog = stack ? await asUser(await findStack(options), 'operator', readCatalog) : undefined;
  const { definitions, problems, warnings } = readDefinitions(files, catalog ? { catalog } : {});
  const ids = [...definitions.keys()];
  if (json) printJson({ sagas: ids, problems, warnings });
  else {
    for (const warning of warnings) console.log(`warning: ${warning}`);
    for (const problem of problems) console.log(problem);
    if (problems.length === 0) console.log(`${ids.length} sagas without a mistake: ${ids.join(', ')}`);
  }
  if (problems.length > 0) throw new Failure(`${problems.length} mistakes in ${path}`);
}

async function graphSaga(id: string, options: SagaOptions & { file?: string; mermaid: boolean }): Promise<void> {
  const { tenant, json, file, mermaid } = options;
  const [definition, state] = file
    ? [await definitionIn(file, id), undefined]
    : await withJournal(options, async (journal) => {
        const { state } = await found(journal, tenant, id);
        if (!state.definition)
          throw new Failure(
            `The saga ${id} has no definition: its steps join as calls. callboard sagas show has them.`,
          );
        return [state.definition, state] as const;
      });
  const text = mermaid ? sagaMermaid(definition, state) : sagaText(definition, state);
  if (json) return printJson({ [mermaid ? 'mermaid' : 'text']: text });
  console.log(text);
}

async function planSaga(
  path: string,
  id: string | undefined,
  options: { input: string; outputs: string; failing?: string; json: boolean },
): Promise<void> {
  const definition = await definitionIn(path, id);
  const planned = plan(definition, parseObject('--input', options.input), {
    outputs: parseObject('--outputs', options.outputs) as Record<string, Record<string, unknown>>,
    ...(options.failing !== undefined && { failing: options.failing }),
  });
  if (options.json) return printJson(planned);
  printTable(
    ['do', 'step', 'what'],
    planned.steps.map((step) => [step.do, step.step, whatOf(step)]),
  );
  console.log(`\nends ${planned.end}${planned.output ? ` with ${JSON.stringify(planned.output)}` : ''}`);
}

function whatOf(step: Plan['steps'][number]): string {
  switch (step.do) {
    case 'act':
    case 'undo':
      return `${step.action} ${JSON.stringify(step.args)}`;
    case 'ask':
      return step.prompt;
    case 'fail':
      return step.error.message;
    case 'skip':
      return '';
  }
}

function parseObject(option: string, text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // The same mistake.
  }
  throw new Failure(`${option} must be a JSON object`);
}

/** @throws Failure naming what is wrong with the files, or which definitions there are */
async function definitionIn(path: string, id: string | undefined): Promise<SagaDefinition> {
  const { definitions, problems } = readDefinitions(await readFiles(path));
  const ids = [...definitions.keys()];
  const definition = definitions.get(id ?? (ids.length === 1 ? ids[0]! : ''));
  if (definition) return definition;
  throw new Failure(problems[0] ?? `Name one of the definitions in ${path}: ${ids.join(', ')}`);
}

async function readFiles(path: string): Promise<{ path: string; text: string }[]> {
  try {
    const isFolder = (await stat(path)).isDirectory();
    const all = isFolder ? await readdir(path) : [];
    const names = isFolder
      ? all
          .filter((name) => /\.ya?ml$/.test(name))
          .sort()
          .map((name) => join(path, name))
      : [path];
    return await Promise.all(names.map(async (name) => ({ path: name, text: await readFile(name, 'utf8') })));
  } catch (error) {
    throw new Failure(`The definitions cannot be read: ${messageOf(error)}`);
  }
}

async function readCatalog(nc: NatsConnection) {
  const catalog = new Catalog(await KeyValueStore.open(nc, BUCKET.actions), () => undefined);
  await catalog.start();
  catalog.stop();
  return new Map([...catalog.view.actions].filter(([, { binding }]) => binding?.kind !== 'saga'));
}

async function withJournal<T>(where: StackWhere, use: (journal: SagaJournal) => Promise<T>): Promise<T> {
  return asUser(await findStack(where), 'operator', async (nc) => {
    const publisher = new AckedPublisher(nc);
    try {
      return await use(await SagaJournal.open(nc, publisher));
    } finally {
      publisher.close();
    }
  });
}

/** @throws Failure when there is no such saga */
async function found(journal: SagaJournal, tenant: string, id: string): Promise<SagaRecord> {
  const saga = await journal.read(tenant, id);
  if (saga.sequence === 0)
    throw new Failure(`There is no saga ${id} of tenant ${tenant}. callboard sagas list has them.`);
  return saga;
}

function print(view: SagaView): void {
  const { saga_id, phase, definition, user_id, started_at, deadline_at, ended_at, reason, left, steps } = view;
  console.log(`${saga_id}  ${phase}${definition ? `  ${definition}` : ''}`);
  console.log(`of ${user_id}, tenant ${view.tenant_id}`);
  if (started_at)
    console.log(`started ${started_at}${ended_at ? `, ended ${ended_at}` : `, deadline ${deadline_at!}`}`);
  if (reason) console.log(`stopped: ${JSON.stringify(reason)}`);
  if (left) console.log(`not undone: ${left.join(', ')}`);
  if (steps.length === 0) return;
  console.log('');
  printTable(
    ['step', 'action', 'attempt', 'status', 'undone', 'command'],
    steps.map(({ step, action, attempt, status, undone, correlation_id, error, question }) => [
      step,
      action ?? '',
      String(attempt),
      `${status}${error ? ` (${error.code})` : question && status === 'running' ? ' (waits for approval)' : ''}`,
      undone ?? '',
      correlation_id ?? '',
    ]),
  );
}
