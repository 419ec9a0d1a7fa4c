/** Rules over actions: by id, and by what its author says of it. */
import type { ActionAttributes, ActionDescriptor } from '@callboard/actions';
import { namePattern, record } from '@callboard/config';

/** What a rule asks for; all of it must hold. `id`: one of these names, in which `*` stands for any text. */
export interface WrittenRule extends Partial<ActionAttributes> {
  id?: string | string[];
}

const name = { type: 'string', minLength: 1, maxLength: 128 };
const flag = { type: 'boolean' };

export const RULE_MEMBERS = {
  id: { oneOf: [name, { type: 'array', items: name, minItems: 1, maxItems: 256 }] },
  read_only: flag,
  destructive: flag,
  idempotent: flag,
  open_world: flag,
};

/** The schema of a rule. */
export const actionRule = { ...record(RULE_MEMBERS), minProperties: 1 };

export type Action = Pick<ActionDescriptor, 'id' | 'attributes'>;

export class ActionRule {
  readonly #names: readonly RegExp[] | undefined;
  readonly #attributes: readonly (readonly [keyof ActionAttributes, boolean])[];

  constructor({ id, ...attributes }: WrittenRule) {
    this.#names = id === undefined ? undefined : [id].flat().map(namePattern);
    this.#attributes = Object.entries(attributes) as [keyof ActionAttributes, boolean][];
  }

  fits({ id, attributes }: Action): boolean {
    return this.#fitsName(id) && this.#attributes.every(([name, wanted]) => attributes[name] === wanted);
  }

  /** Of an action that nobody serves now, so that only its name is known. */
  mayFit(id: string): boolean {
    return this.#fitsName(id);
  }

  /** Does it ask for nothing but a name? */
  get namesOnly(): boolean {
    return this.#attributes.length === 0;
  }

  #fitsName(id: string): boolean {
    return this.#names?.some((pattern) => pattern.test(id)) ?? true;
  }
}
