/**
 * What is on record of one's tenant, for operators with an MCP client. Policies decide about `read_audit`; the audit writer, which has the keys of
 * what is personal, answers for the tenant in the subject of the request, and puts on record that somebody looked before he sees anything.
 */
import { callerOf, type Gate } from '@callboard/access';
import { ActionError, defineAction, type ActionContext, type ActionDefinition } from '@callboard/actions';
import { AUDIT_KINDS } from '@callboard/audit';
import type { JsonObject } from '@callboard/envelope';
import { fitting, type LedgerControl } from '@callboard/jetstream';
import { z } from 'zod';

const MOST_ENTRIES = 100;
const SHOWN = 20;
/** Of a result, so that it is no burden for who reads it; one entry at least. */
const MOST_BYTES = 256 * 1024;
const DEADLINE_MS = 60_000;

const time = z.iso.datetime({ offset: true });

export const searchInput = z.strictObject({
  kind: z.enum(AUDIT_KINDS).optional().describe('only records of this kind'),
  correlation_id: z.string().min(1).max(256).optional().describe('only those of this command'),
  user: z.string().min(1).max(256).optional().describe('only what this user did'),
  since: time.optional().describe('not before this time'),
  until: time.optional().describe('not after this time'),
  before: z.number().int().positive().optional().describe('go on before this record: `next` of the page before'),
  limit: z.number().int().min(1).max(MOST_ENTRIES).default(SHOWN),
});

export class LedgerTools {
  constructor(
    private readonly ledger: Pick<LedgerControl, 'search'>,
    private readonly gate: Pick<Gate, 'allows'>,
  ) {}

  actions(): ActionDefinition[] {
    return [
      defineAction({
        id: 'audit.search',
        title: 'Search the audit ledger',
        description: 'Who did what in your tenant, the newest first: calls, attempts, reads, denials, operators.',
        input: searchInput,
        attributes: { read_only: true, open_world: false },
        deadlineMs: DEADLINE_MS,
        run: (args, context) => this.search(args, context),
      }),
    ];
  }

  async search(args: z.infer<typeof searchInput>, context: ActionContext): Promise<JsonObject> {
    const { command, correlationId, tenantId, userId } = context;
    const question = {
      principal: callerOf(command),
      action: 'read_audit' as const,
      resource: { type: 'Tenant' as const, id: tenantId },
      circumstances: { server: command.caller?.server ?? '' },
    };
    if (!this.gate.allows(question, { correlationId })) {
      throw new ActionError('Policy does not allow this', { code: 'forbidden' });
    }
    const { kind, correlation_id, user, since, until, before, limit } = args;
    const found = await this.ledger.search(tenantId, {
      ...(kind !== undefined && { kind }),
      ...(correlation_id !== undefined && { correlation_id }),
      ...(user !== undefined && { user }),
      // As the ledger has them, so that they can be compared as texts.
      ...(since !== undefined && { since: new Date(since).toISOString() }),
      ...(until !== undefined && { until: new Date(until).toISOString() }),
      ...(before !== undefined && { before }),
      ...{ limit, by: userId },
    });
    const entries = fitting(found, MOST_BYTES);
    const more = entries.length === limit || entries.length < found.length;
    return {
      entries: entries as unknown as JsonObject[],
      ...(more && { next: entries.at(-1)!.stream_sequence }),
    };
  }
}
