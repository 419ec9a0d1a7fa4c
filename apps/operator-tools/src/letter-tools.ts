/**
 * Dead letters of one's tenant, for operators with an MCP client: which there are, and their commands again.
 *
 * Policies decide about `redrive`, letter by letter, on the tool that the letter's command is for. A letter of another tenant is none here, and
 * neither is a held event, which belongs to the privacy filter. Nothing is shown of what a command carried. Who redrives is on record before
 * the command is stored again; that it is one command, however often it is asked, is `DeadLetterBox`'s promise.
 */
import { callerOf, namedToolResource, person, type Gate, type Question } from '@callboard/access';
import { ActionError, defineAction, type ActionContext, type ActionDefinition } from '@callboard/actions';
import type { Audit } from '@callboard/audit';
import { CallboardError, type JsonObject } from '@callboard/envelope';
import {
  fitsLetter,
  redriveAll,
  type CommandClient,
  type DeadLetterBox,
  type Halts,
  type KeptLetter,
  type Redrive,
} from '@callboard/jetstream';
import { z } from 'zod';

const MOST_LETTERS = 100;
const LISTED = 20;
/** Letters that a list looks at, of any tenant, before it says where to go on. */
const MOST_LOOKED_AT = 10_000;
const DEADLINE_MS = 60_000;

const name = z.string().min(1).max(256);
const letter = z.number().int().positive();

export const listInput = z.strictObject({
  action: name.optional().describe('only those of this action, such as git.clone'),
  ordering_key: name.optional().describe('only those of this ordering key'),
  reason: name.optional().describe('only those that gave up for this reason'),
  after: z.number().int().nonnegative().optional().describe('go on after this letter: `next` of the list before'),
  limit: z.number().int().min(1).max(MOST_LETTERS).default(LISTED),
});

export const redriveInput = z.strictObject({
  letters: z.array(letter).min(1).max(MOST_LETTERS).describe('as letters.list shows them'),
});

/** A letter of a command; what it carried is not for those who look. */
type CommandLetter = KeptLetter & { command: NonNullable<KeptLetter['command']> };

export class LetterTools {
  constructor(
    private readonly box: DeadLetterBox,
    private readonly commands: CommandClient,
    private readonly halts: Pick<Halts, 'get'>,
    private readonly gate: Gate,
    private readonly audit: Pick<Audit, 'record'>,
  ) {}

  actions(): ActionDefinition[] {
    return [
      defineAction({
        id: 'letters.list',
        title: 'List dead letters',
        description:
          'Commands of your tenant that gave up, oldest first: of which action, why, after how many attempts. Only those that you may redrive.',
        input: listInput,
        attributes: { read_only: true, open_world: false },
        deadlineMs: DEADLINE_MS,
        run: (args, context) => this.list(args, context),
      }),
      defineAction({
        id: 'letters.redrive',
        title: 'Redrive dead letters',
        description:
          'Runs the commands of dead letters again, under the same ordering keys, as those who first called them. Each letter is one command, however often it is redriven.',
        input: redriveInput,
        attributes: { destructive: false, idempotent: true, open_world: false },
        // Behind a halted key nobody could let it go on.
        ordering: 'none',
        deadlineMs: DEADLINE_MS,
        run: (args, context) => this.redrive(args, context),
      }),
    ];
  }

  async list(args: z.infer<typeof listInput>, { command, signal }: ActionContext): Promise<JsonObject> {
    const { action, ordering_key: key, reason, after = 0, limit } = args;
    const filter = { tenant: command.tenant_id, action, key, reason };
    const letters: JsonObject[] = [];
    let looked = 0;
    let last = after;
    for await (const found of this.box.scan(after)) {
      signal.throwIfAborted();
      if (letters.length === limit || looked === MOST_LOOKED_AT) return { letters, next: last };
      looked += 1;
      last = found.letter;
      if (!isOfCommand(found) || !fitsLetter(found, filter)) continue;
      if (this.gate.policies.decide(this.#question(found, command)).allowed) letters.push(this.#shown(found));
    }
    return { letters };
  }

  async redrive({ letters: asked }: z.infer<typeof redriveInput>, context: ActionContext): Promise<JsonObject> {
    const { command, correlationId } = context;
    const sequences = [...new Set(asked)].sort((a, b) => a - b);
    const found = new Map<number, CommandLetter>();
    for (const sequence of sequences) {
      const kept = await this.box.get(sequence);
      if (kept && isOfCommand(kept) && kept.about.tenant_id === command.tenant_id) found.set(sequence, kept);
    }
    // All or nothing: who may not redrive one of them has to think again.
    for (const kept of found.values()) {
      if (this.gate.allows(this.#question(kept, command), { correlationId })) continue;
      throw new ActionError('Policy does not allow this', { code: 'forbidden' });
    }
    const fared = new Map<number, JsonObject>();
    for await (const each of redriveAll(this.box, this.commands, this.#recorded([...found.values()], context))) {
      fared.set(each.letter, told(each));
    }
    const gone = { status: 'failed', code: 'not_found' };
    return { letters: sequences.map((sequence) => ({ letter: sequence, ...(fared.get(sequence) ?? gone) })) };
  }

  /** One by one, each when it is on record. */
  async *#recorded(letters: CommandLetter[], context: ActionContext): AsyncGenerator<CommandLetter> {
    const { command, signal, correlationId } = context;
    for (const each of letters) {
      signal.throwIfAborted();
      await this.audit.record({
        ...{ kind: 'operator', what: 'redrive', tenantId: command.tenant_id },
        who: person(callerOf(command)),
        correlationId: each.command.correlation_id,
        action: each.about.action!,
        details: { letter: each.letter, by: correlationId },
      });
      yield each;
    }
  }

  #question({ about }: CommandLetter, command: ActionContext['command']): Question {
    return {
      principal: callerOf(command),
      action: 'redrive',
      resource: namedToolResource(about.action!),
      circumstances: { server: command.caller?.server ?? '' },
    };
  }

  #shown({ letter, at, reason, attempts, last_error, about, command }: CommandLetter): JsonObject {
    const { action, ordering_key, correlation_id } = about;
    const halted = this.halts.get(command.tenant_id, command.ordering_key)?.correlation_id === correlation_id;
    return {
      ...{ letter, at, reason, attempts },
      ...(last_error && { error: last_error.code }),
      ...{ action: action!, ordering_key: ordering_key!, correlation_id: correlation_id!, user: command.user_id },
      halts_key: halted,
    };
  }
}

function isOfCommand(letter: KeptLetter): letter is CommandLetter {
  return letter.command !== undefined;
}

function told(fared: Redrive): JsonObject {
  if ('correlation_id' in fared) return { status: 'redriven', correlation_id: fared.correlation_id };
  if ('error' in fared) {
    const code = fared.error instanceof CallboardError ? fared.error.code : 'internal';
    return { status: 'failed', code };
  }
  // An earlier letter of its key was not redriven.
  return { status: 'left' };
}
