/**
 * The declared sagas of this orchestrator: read once, at its start, and held against the actions that there are whenever those change. A saga whose
 * files have a mistake keeps the orchestrator from starting; one that names an action which nobody serves now is not announced, and is as soon as
 * somebody does.
 */
import { ActionSet, defineAction, type ActionDefinition, type CatalogView } from '@callboard/actions';
import { LIMITS } from '@callboard/envelope';
import { readDefinitions, type ReadOptions, type SagaDefinition, type SagaFile } from '@callboard/saga';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** A mistake in a definition; the message names file, line and step. */
export class DefinitionMistakes extends Error {
  override readonly name = 'DefinitionMistakes';
}

export class Definitions {
  /** What is announced: one action for each saga that can run now. */
  readonly actions = new ActionSet();
  #definitions: ReadonlyMap<string, SagaDefinition>;
  #said = '';

  private constructor(
    private readonly files: readonly SagaFile[],
    private readonly uncompensated: ReadOptions['uncompensated'] & string,
    /** Hears which sagas cannot run, whenever that changes. */
    private readonly onProblems: (problems: readonly string[]) => void,
  ) {
    const { definitions, problems } = readDefinitions(files);
    if (problems.length > 0) throw new DefinitionMistakes(problems.join('\n'));
    this.#definitions = definitions;
  }

  /**
   * @param path a folder of YAML files, or one file; nothing for no sagas
   * @throws DefinitionMistakes
   */
  static async load(
    path: string | undefined,
    uncompensated: ReadOptions['uncompensated'] & string,
    onProblems: (problems: readonly string[]) => void,
  ): Promise<Definitions> {
    return new Definitions(path === undefined ? [] : await readSagaFiles(path), uncompensated, onProblems);
  }

  get(actionId: string): SagaDefinition | undefined {
    return this.#definitions.get(actionId);
  }

  /** Announces what can run with these actions, and nothing else. */
  refresh({ actions }: CatalogView): void {
    if (this.files.length === 0) return;
    // A saga is no step of another: that is what sub-sagas are there for.
    const catalog = new Map([...actions].filter(([, { binding }]) => binding?.kind !== 'saga'));
    const { definitions, problems } = readDefinitions(this.files, { catalog, uncompensated: this.uncompensated });
    // One that ran before goes on to be known here: its calls that are under way may not have begun.
    this.#definitions = new Map([...this.#definitions, ...definitions]);
    for (const { descriptor } of [...this.actions]) {
      if (!definitions.has(descriptor.id)) this.actions.remove(descriptor.id);
    }
    for (const definition of definitions.values()) {
      const action = actionOf(definition);
      const before = this.actions.get(definition.id);
      if (JSON.stringify(before?.descriptor) !== JSON.stringify(action.descriptor)) this.actions.put(action);
    }
    const said = problems.join('\n');
    if (said !== this.#said) this.onProblems(problems);
    this.#said = said;
  }
}

/** @throws Error naming what cannot be read */
export async function readSagaFiles(path: string): Promise<SagaFile[]> {
  const names = (await stat(path)).isDirectory()
    ? (await readdir(path))
        .filter((name) => /\.ya?ml$/.test(name))
        .sort()
        .map((name) => join(path, name))
    : [path];
  return Promise.all(names.map(async (name) => ({ path: name, text: await readFile(name, 'utf8') })));
}

/** The action that begins a saga. It is no runner's: front ends store its command with the sagas. */
function actionOf(definition: SagaDefinition): ActionDefinition {
  const { id, title, description, input_schema, output_schema, deadline_ms } = definition;
  const action = defineAction({
    id,
    ...(title !== undefined && { title }),
    description,
    input: input_schema,
    ...(output_schema && { output: output_schema }),
    attributes: { destructive: true },
    deadlineMs: Math.min(deadline_ms, LIMITS.maxDeadlineMs),
    retry: { max_attempts: 1 },
    ordering: 'none',
    run: () => {
      throw new TypeError('a saga is run by an orchestrator');
    },
  });
  return { ...action, descriptor: { ...action.descriptor, binding: { kind: 'saga' } } };
}
