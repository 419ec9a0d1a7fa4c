/**
 * Reads saga definitions: YAML in, definitions out that a saga can run from, or every mistake with its file, line, step and the way out.
 *
 * 1. Each file has the shape of the schema: `FileReader`. What stands in a file is never in a message, but for names.
 * 2. Each expression is CEL and names only what is there when the step begins: `ExpressionCheck`.
 * 3. Each action is one of the catalog, gets arguments that fit its schema, and can be undone.
 * 4. Sub-sagas are put in the place of their steps; one that leads back to itself, or to too many steps, is a mistake.
 *
 * A file with a mistake, and one with a sub-saga that has one, yields no definition; the others do.
 */
import type { JsonObject, Priority } from '@callboard/envelope';
import { shapeOf, YamlFile } from '@callboard/config';
import { argumentMistakes } from './argument-mistakes.js';
import { suggestion, type Catalog, type CatalogAction } from './catalog.js';
import {
  COMPENSATION_RETRY,
  DEFINITION_VERSION,
  type ActionStep,
  type ApprovalStep,
  type InDoubt,
  type Retry,
  type SagaDefinition,
  type StepCompensation,
  type StepDefinition,
  type SubSaga,
} from './definition.js';
import { ACTION_STEP, APPROVAL, COMPENSATION, PARALLEL, SAGA_FILE, STEP_NAME, SUB_SAGA } from './definition-schema.js';
import { ExpressionCheck, type Known } from './expression-check.js';
import { SAGA_LIMITS } from './limits.js';
import { bytesOf } from './template.js';

export interface SagaFile {
  /** What messages call it. */
  path: string;
  text: string;
}

export interface ReadOptions {
  /** Without it, actions and their arguments are not looked at. */
  catalog?: Catalog;
  /** What to do about a destructive step without a compensation, and about one that could be repeated with harm. Default `refuse`. */
  uncompensated?: 'warn' | 'refuse';
}

export interface ReadDefinitions {
  /** By id. */
  definitions: ReadonlyMap<string, SagaDefinition>;
  /** Mistakes: `<file>: line <n>: <place> (step <name>) <what is wrong, and the way out>`. */
  problems: readonly string[];
  warnings: readonly string[];
}

export function readDefinitions(files: readonly SagaFile[], options: ReadOptions = {}): ReadDefinitions {
  const warnings: string[] = [];
  const problems: string[] = [];
  const read = new Map<string, ReadSaga>();
  for (const file of files) {
    const saga = readFile(file, options, problems, warnings);
    if (!saga) continue;
    const other = read.get(saga.id);
    if (other) problems.push(saga.mistakeAt(['id'], `is the id of ${other.path} too: give each saga its own`));
    else read.set(saga.id, saga);
  }
  const definitions = new Linker(read, problems).link();
  return { definitions, problems, warnings };
}

class DefinitionMistake extends Error {
  override readonly name = 'DefinitionMistake';
}

/** A file that has the shape of a definition. Its sub-sagas are names still. */
interface ReadSaga {
  id: string;
  path: string;
  definition: SagaDefinition;
  subSagas: SubSagaUse[];
  /** It has mistakes; only those of its sub-sagas are of interest. */
  broken: boolean;
  mistakeAt(place: Place, what: string): string;
}

interface SubSagaUse {
  saga: string;
  place: Place;
  name: string;
  input: JsonObject;
}

type Place = readonly (string | number)[];

interface WrittenSaga {
  id: string;
  version: number;
  title?: string;
  description: string;
  input: JsonObject;
  output_schema?: JsonObject;
  deadline_ms: number;
  steps: unknown[];
  output?: JsonObject;
}

interface WrittenAction extends Omit<ActionStep, 'kind' | 'retry' | 'compensation'> {
  retry?: Retry;
  compensation?: unknown;
  priority?: Priority;
}

interface WrittenCompensation {
  action: string;
  args: JsonObject;
  deadline_ms?: number;
  retry?: Retry;
  in_doubt: InDoubt;
}

const shapes = {
  saga: shapeOf<WrittenSaga>(SAGA_FILE),
  action: shapeOf<WrittenAction>(ACTION_STEP),
  compensation: shapeOf<WrittenCompensation>(COMPENSATION),
  subSaga: shapeOf<{ name: string; title?: string; when?: string; saga: string; input: JsonObject }>(SUB_SAGA),
  approval: shapeOf<Omit<ApprovalStep, 'kind' | 'prompt'> & { approval: string }>(APPROVAL),
  parallel: shapeOf<{ parallel: unknown[] }>(PARALLEL),
};

const STEP = new RegExp(STEP_NAME);
/** Words that CEL keeps to itself. */
const RESERVED = new Set(
  'as break const continue else false for function if import in let loop namespace null package return true var void while'.split(
    ' ',
  ),
);

function readFile(
  { path, text }: SagaFile,
  options: ReadOptions,
  problems: string[],
  warnings: string[],
): ReadSaga | undefined {
  try {
    return new FileReader(path, YamlFile.parse(text, path, DefinitionMistake), options, problems, warnings).read();
  } catch (error) {
    if (!(error instanceof DefinitionMistake)) throw error;
    problems.push(error.message);
    return undefined;
  }
}

class FileReader {
  readonly #subSagas: SubSagaUse[] = [];
  readonly #names = new Set<string>();
  readonly #catalog: Catalog | undefined;
  #broken = false;
  #steps = 0;

  constructor(
    private readonly path: string,
    private readonly file: YamlFile,
    private readonly options: ReadOptions,
    private readonly problems: string[],
    private readonly warnings: string[],
  ) {
    this.#catalog = options.catalog;
  }

  /** @throws DefinitionMistake when it is no definition at all. */
  read(): ReadSaga {
    const { id, version, title, description, input, output_schema, deadline_ms, steps, output } = this.file.check(
      shapes.saga,
    );
    const known: Known = { input, steps: new Map() };
    const list = this.#list(steps, ['steps'], known, 1);
    if (this.#steps > SAGA_LIMITS.steps)
      this.#problem(['steps'], `has ${this.#steps} steps, and ${SAGA_LIMITS.steps} is the most`);
    if (output !== undefined) this.#expressions(known).template(output, ['output']);
    const definition: SagaDefinition = {
      definition_version: DEFINITION_VERSION,
      id,
      version,
      ...(title !== undefined && { title }),
      description,
      input_schema: input,
      ...(output_schema && { output_schema }),
      deadline_ms,
      steps: list,
      ...(output !== undefined && { output }),
    };
    return {
      id,
      path: this.path,
      definition,
      subSagas: this.#subSagas,
      broken: this.#broken,
      mistakeAt: (place, what) => this.file.mistake(place, what).message,
    };
  }

  /** Steps one after the other: each may name those before it. */
  #list(written: readonly unknown[], place: Place, known: Known, depth: number): StepDefinition[] {
    return written.flatMap((_, i) => {
      const step = this.#orMistake(written[i], () => this.#step(written[i], [...place, i], known, depth));
      return step ? [step] : [];
    });
  }

  #step(written: unknown, place: Place, known: Known, depth: number): StepDefinition {
    const kinds = ['action', 'saga', 'approval', 'parallel'].filter((kind) => isObject(written) && kind in written);
    const [kind] = kinds;
    if (kinds.length !== 1) throw this.file.mistake(place, 'must have one of action, saga, approval and parallel');
    if (kind === 'parallel') return this.#parallel(place, known, depth);
    this.#steps++;
    const step =
      kind === 'action'
        ? this.#action(place, known)
        : kind === 'saga'
          ? this.#subSaga(place, known)
          : this.#approval(place, known);
    const output = step.kind === 'action' ? this.#catalog?.get(step.action)?.output_schema : undefined;
    known.steps.set(step.name, output ? { output } : {});
    return step;
  }

  #parallel(place: Place, known: Known, depth: number): StepDefinition {
    if (depth >= SAGA_LIMITS.depth) throw this.file.mistake(place, `is nested deeper than ${SAGA_LIMITS.depth}`);
    const { parallel } = this.file.check(shapes.parallel, place);
    const after = new Map<string, { output?: JsonObject }>();
    const branches = parallel.map((written, i) => {
      const branch: Known = { ...known, steps: new Map(known.steps) };
      const at = [...place, 'parallel', i];
      if (Array.isArray(written) && written.length === 0) throw this.file.mistake(at, 'must have a step');
      let steps: StepDefinition[];
      if (Array.isArray(written)) steps = this.#list(written, at, branch, depth + 1);
      else steps = [this.#orMistake(written, () => this.#step(written, at, branch, depth + 1)) ?? []].flat();
      for (const [name, step] of branch.steps) after.set(name, step);
      return steps;
    });
    for (const [name, step] of after) known.steps.set(name, step);
    return { kind: 'parallel', branches };
  }

  #action(place: Place, known: Known): ActionStep {
    const written = this.file.check(shapes.action, place);
    const { compensation: writtenCompensation, ...step } = written;
    this.#name(step.name, place);
    const expressions = this.#expressions(known, step.name);
    if (step.when !== undefined) expressions.condition(step.when, [...place, 'when']);
    expressions.template(step.args, [...place, 'args']);
    if (step.ordering_key !== undefined) expressions.template(step.ordering_key, [...place, 'ordering_key']);
    const action = this.#known(step.action, place, step.name);
    if (action) this.#arguments(step.args, action, [...place, 'args'], step.name);
    const compensation = this.#compensation(writtenCompensation, place, known, step.name, action);
    if (step.retry && action && !action.attributes.idempotent && !action.attributes.read_only) {
      this.#warn(
        [...place, 'retry'],
        step.name,
        `repeats ${action.id}, which is not idempotent: an attempt in doubt may have its effect twice`,
      );
    }
    return {
      kind: 'action',
      ...step,
      ...(step.deadline_ms === undefined && action && { deadline_ms: action.deadline_ms }),
      ...(compensation && { compensation }),
    };
  }

  #compensation(
    written: unknown,
    stepPlace: Place,
    known: Known,
    step: string,
    action: CatalogAction | undefined,
  ): StepCompensation | undefined {
    const place = [...stepPlace, 'compensation'];
    if (written === 'none') return undefined;
    if (written === undefined) {
      if (action?.compensation) return this.#ofAction(action.compensation, stepPlace, step);
      if (action?.attributes.destructive && !action.attributes.read_only) this.#uncompensated(stepPlace, step, action);
      return undefined;
    }
    if (!isObject(written)) throw this.file.mistake(place, 'must be an action with its arguments, or none');
    const { action: undoId, args, deadline_ms, retry, in_doubt } = this.file.check(shapes.compensation, place);
    const own = { args: action?.input_schema ?? {}, ...(action?.output_schema && { output: action.output_schema }) };
    const here: Known = { ...known, own };
    this.#expressions(here, step).template(args, [...place, 'args']);
    const undo = this.#known(undoId, place, step);
    if (undo) this.#arguments(args, undo, [...place, 'args'], step);
    const deadline = deadline_ms ?? undo?.deadline_ms;
    return {
      action: undoId,
      args,
      ...(deadline !== undefined && { deadline_ms: deadline }),
      retry: retry ?? COMPENSATION_RETRY,
      in_doubt,
    };
  }

  /** The action says itself what undoes it. */
  #ofAction(undoId: string, place: Place, step: string): StepCompensation {
    const undo = this.#known(undoId, place, step);
    return {
      action: undoId,
      args: { args: '${{ args }}', result: '${{ output }}' },
      ...(undo && { deadline_ms: undo.deadline_ms }),
      retry: COMPENSATION_RETRY,
      in_doubt: 'undo',
    };
  }

  #uncompensated(place: Place, step: string, { id }: CatalogAction): void {
    const what = `does ${id}, which is destructive, and nothing undoes it: write a compensation, or \`compensation: none\``;
    if (this.options.uncompensated === 'warn') this.#warn(place, step, what);
    else this.#problem(place, what, step);
  }

  #subSaga(place: Place, known: Known): SubSaga {
    const { name, title, when, saga, input } = this.file.check(shapes.subSaga, place);
    this.#name(name, place);
    const expressions = this.#expressions(known, name);
    if (when !== undefined) expressions.condition(when, [...place, 'when']);
    expressions.template(input, [...place, 'input']);
    this.#subSagas.push({ saga, place, name, input });
    const more = { ...(title !== undefined && { title }), ...(when !== undefined && { when }) };
    return { kind: 'saga', name, ...more, saga, version: 0, input, steps: [] };
  }

  #approval(place: Place, known: Known): ApprovalStep {
    const { approval, ...step } = this.file.check(shapes.approval, place);
    this.#name(step.name, place);
    const expressions = this.#expressions(known, step.name);
    if (step.when !== undefined) expressions.condition(step.when, [...place, 'when']);
    expressions.template(approval, [...place, 'approval']);
    return { kind: 'approval', ...step, prompt: approval };
  }

  #name(name: string, place: Place): void {
    if (RESERVED.has(name)) this.#problem([...place, 'name'], 'is a word that CEL keeps to itself: take another', name);
    if (this.#names.has(name))
      this.#problem([...place, 'name'], 'is the name of another step too: give each its own', name);
    this.#names.add(name);
  }

  #known(id: string, place: Place, step: string): CatalogAction | undefined {
    if (!this.#catalog) return undefined;
    const action = this.#catalog.get(id);
    if (!action) {
      const help = suggestion(id, this.#catalog.keys());
      this.#problem([...place, 'action'], `names ${id}, and no such action is registered${help}`, step);
    }
    return action;
  }

  #arguments(args: unknown, action: CatalogAction, place: Place, step: string): void {
    try {
      for (const { place: at, what } of argumentMistakes(args, action.input_schema)) {
        this.#problem([...place, ...at], `${what} (${action.id})`, step);
      }
    } catch {
      // An expression that is none has been reported already.
    }
  }

  #expressions(known: Known, step?: string): ExpressionCheck {
    return new ExpressionCheck(known, (place, what) => this.#problem(place, what, step));
  }

  #orMistake<T>(written: unknown, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof DefinitionMistake)) throw error;
      this.#broken = true;
      const { name } = isObject(written) ? written : {};
      const which = typeof name === 'string' && STEP.test(name) ? ` (step ${name})` : '';
      this.problems.push(error.message + which);
      return undefined;
    }
  }

  #problem(place: Place, what: string, step?: string): void {
    this.#broken = true;
    this.problems.push(this.#message(place, what, step));
  }

  #warn(place: Place, step: string, what: string): void {
    this.warnings.push(this.#message(place, what, step));
  }

  #message(place: Place, what: string, step?: string): string {
    return this.file.mistake(place, step === undefined ? what : `(step ${step}) ${what}`).message;
  }
}

/** Puts sub-sagas in the place of the steps that name them. */
class Linker {
  readonly #linked = new Map<string, SagaDefinition | undefined>();

  constructor(
    private readonly sagas: ReadonlyMap<string, ReadSaga>,
    private readonly problems: string[],
  ) {}

  link(): Map<string, SagaDefinition> {
    const definitions = new Map<string, SagaDefinition>();
    for (const id of this.sagas.keys()) {
      const definition = this.#saga(id, []);
      if (definition) definitions.set(id, definition);
    }
    return definitions;
  }

  #saga(id: string, within: readonly string[]): SagaDefinition | undefined {
    if (this.#linked.has(id)) return this.#linked.get(id);
    const saga = this.sagas.get(id)!;
    let whole = !saga.broken;
    const parts = new Map<string, SagaDefinition>();
    for (const use of saga.subSagas) {
      const part = this.#subSaga(saga, use, [...within, id]);
      if (part) parts.set(use.name, part);
      else whole = false;
    }
    let definition: SagaDefinition | undefined;
    if (whole) {
      definition = { ...saga.definition, steps: withSubSagas(saga.definition.steps, parts) };
      const size = sizeOf(definition);
      if (size !== undefined) {
        this.problems.push(saga.mistakeAt(['steps'], `with all sub-sagas is ${size}`));
        definition = undefined;
      }
    }
    this.#linked.set(id, definition);
    return definition;
  }

  #subSaga(saga: ReadSaga, { saga: id, place, name, input }: SubSagaUse, within: readonly string[]) {
    const mistake = (what: string) =>
      void this.problems.push(saga.mistakeAt([...place, 'saga'], `(step ${name}) ${what}`));
    const other = this.sagas.get(id);
    if (!other) return mistake(`names ${id}, and there is no such saga${suggestion(id, this.sagas.keys())}`);
    if (within.includes(id)) {
      const way = [...within.slice(within.indexOf(id)), id].join(' → ');
      return mistake(`leads back to itself (${way}): a saga cannot be a part of itself`);
    }
    if (within.length >= SAGA_LIMITS.depth) return mistake(`is nested deeper than ${SAGA_LIMITS.depth}`);
    for (const { place: at, what } of inputMistakes(input, other.definition.input_schema)) {
      this.problems.push(saga.mistakeAt([...place, 'input', ...at], `(step ${name}) ${what} (${id})`));
    }
    const part = this.#saga(id, within);
    if (!part) mistake(`names ${id}, whose definition has a mistake: see ${other.path}`);
    return part;
  }
}

function inputMistakes(input: JsonObject, schema: JsonObject) {
  try {
    return argumentMistakes(input, schema);
  } catch {
    return [];
  }
}

function withSubSagas(steps: readonly StepDefinition[], parts: ReadonlyMap<string, SagaDefinition>): StepDefinition[] {
  return steps.map((step) => {
    if (step.kind === 'parallel')
      return { ...step, branches: step.branches.map((branch) => withSubSagas(branch, parts)) };
    if (step.kind !== 'saga') return step;
    const { version, steps, output } = parts.get(step.name)!;
    return { ...step, version, steps, ...(output !== undefined && { output }) };
  });
}

/** What is too large about a definition. */
function sizeOf(definition: SagaDefinition): string | undefined {
  const steps = countSteps(definition.steps);
  if (steps > SAGA_LIMITS.steps) return `${steps} steps, and ${SAGA_LIMITS.steps} is the most`;
  const bytes = bytesOf(definition);
  return bytes > SAGA_LIMITS.definitionBytes
    ? `${bytes} bytes, and ${SAGA_LIMITS.definitionBytes} is the most`
    : undefined;
}

function countSteps(steps: readonly StepDefinition[]): number {
  return steps.reduce((count, step) => {
    if (step.kind === 'parallel') return count + countSteps(step.branches.flat());
    return count + 1 + (step.kind === 'saga' ? countSteps(step.steps) : 0);
  }, 0);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
