/**
 * `callboard tenants erase`: takes everything of a tenant out of every stream and bucket, and destroys its keys, while the others go on.
 *
 *   E1  It is on record first.
 *   E2  Nothing that has not ended is erased: as far as it was seen that all has ended, messages are taken out, and none that were stored later.
 *   E3  At no moment is there a command without the outcome that it had: commands go from every replica before outcomes go from the first. A runner
 *       to which one is on its way sees that it is gone: see `OwnedPartition`.
 *   E4  It resolves when nothing of the tenant is found any more. What is cut short is done by doing it again.
 *
 * Not guaranteed: that no file holds it any more. nats-server overwrites what is purged when it rewrites the file, or removes it with the file.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Audit } from '@callboard/audit';
import {
  FilterControl,
  KeyValueStore,
  LedgerControl,
  STREAM,
  tenantPlaces,
  type TenantPlace,
} from '@callboard/jetstream';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Failure } from '../failure.js';
import { asOperator, asUser, type StackAddress } from '../running-stack.js';
import { forgetKeys, type ForgottenKeys } from './forget-keys.js';
import { countOf, messagesOf } from './messages-of.js';
import { openWork, stopWork, type OpenWork } from './open-work.js';

export interface Erased extends ForgottenKeys {
  tenant: string;
  /** Messages by stream or bucket. */
  erased: Record<string, number>;
}

const PASSES = 3;
const POLL_MS = 250;
/** Whoever watches a bucket hears within that time that a key is gone. */
const MARKER_MS = 1_000;
/** For markers to go, and for what others had in hand. */
const SETTLE_MS = 10_000;
/** One request of the filter takes a third of a minute. */
const FILTER_REQUESTS = 30;
const REPLICAS_MS = 30_000;
const TOLD = 10;

/**
 * @param cancel when what has not ended is to be stopped first, and how long that may take
 * @throws Failure when something has not ended, or new data of the tenant comes; CallboardError when no filter or no audit writer runs
 */
export async function eraseTenant(
  stack: StackAddress,
  tenantId: string,
  cancel: { waitMs: number } | undefined,
): Promise<Erased> {
  const doing = { what: 'erase', tenantId: '', details: { tenant: tenantId, what: 'data' } };
  return asOperator(stack, doing, (operator, audit) =>
    asUser(stack, 'sre', (sre) =>
      asUser(stack, 'eraser', async (eraser) => {
        const [reading, taking] = await Promise.all(
          [sre, eraser].map((nc) => jetstreamManager(nc, { checkAPI: false })),
        );
        const erasure = new Erasure(tenantId, operator, sre, eraser, reading!, taking!, audit);
        return erasure.run(cancel);
      }),
    ),
  );
}

class Erasure {
  readonly #places: TenantPlace[];
  readonly #erased: Record<string, number> = {};
  readonly #filter: FilterControl;

  constructor(
    private readonly tenantId: string,
    private readonly operator: NatsConnection,
    private readonly sre: NatsConnection,
    private readonly eraser: NatsConnection,
    private readonly reading: JetStreamManager,
    private readonly taking: JetStreamManager,
    private readonly audit: Audit,
  ) {
    this.#places = tenantPlaces(tenantId);
    this.#filter = new FilterControl(operator);
    for (const { kind, stream } of this.#places) if (kind !== 'sealed') this.#erased[stream] = 0;
  }

  async run(cancel: { waitMs: number } | undefined): Promise<Erased> {
    // Before anything goes, those answer without whom it cannot be brought to its end.
    await this.#filter.ask('count', { tenant: this.tenantId });
    await new LedgerControl(this.operator).ask('status', {});
    const keys: Required<ForgottenKeys> = { pseudonym_keys: 0, ledger_keys: 0 };
    for (let pass = 0; pass < PASSES; pass++) {
      const upTo = await this.#allEnded(cancel, pass === 0 ? ' Nothing was erased.' : '');
      for (const place of this.#places) await this.#empty(place, upTo.get(place.stream));
      const { pseudonym_keys = 0, ledger_keys } = await forgetKeys(this.operator, this.tenantId);
      keys.pseudonym_keys += pseudonym_keys;
      keys.ledger_keys += ledger_keys;
      this.#erased[PSEUDONYM_KEYS]! += pseudonym_keys;
      if ((await this.#left()).length === 0) return { tenant: this.tenantId, erased: this.#erased, ...keys };
    }
    throw new Failure(
      `There is new data of ${this.tenantId} in ${(await this.#left()).join(', ')}. Take it out of the access file and the sources, and erase it again.`,
    );
  }

  /** Resolves when all that is stored has ended, with how far that was, stream by stream. */
  async #allEnded(cancel: { waitMs: number } | undefined, sofar: string): Promise<Map<string, number>> {
    const until = Date.now() + (cancel?.waitMs ?? 0);
    for (;;) {
      const upTo = new Map<string, number>();
      for (const stream of OF_COMMANDS) upTo.set(stream, (await this.reading.streams.info(stream)).state.last_seq);
      const open = await openWork(this.sre, this.tenantId, upTo.get(STREAM.commands)!);
      if (open.commands.size === 0 && open.sagas.length === 0) return upTo;
      if (!cancel) throw new Failure(`${told(open)}${sofar} Wait for them, or erase with --cancel.`);
      if (Date.now() > until) throw new Failure(`${told(open)}${sofar} They were told to end, and have not yet.`);
      await stopWork(this.operator, this.audit, this.tenantId, open);
      await delay(POLL_MS);
    }
  }

  async #empty(place: TenantPlace, upTo: number | undefined): Promise<void> {
    const { kind, stream, subjects } = place;
    if (kind === 'subjects') {
      for (const filter of subjects) await this.#purge(stream, filter, upTo);
      if (stream === STREAM.commands) await this.#everyReplicaHas(stream);
    } else if (kind === 'session messages') {
      await this.#emptySessions(place);
    } else if (kind === 'keys' || kind === 'session records') {
      const prefix = `$KV.${place.bucket}.`;
      const store = await KeyValueStore.open(this.eraser, place.bucket);
      for await (const { subject, seq } of messagesOf(this.reading, place, this.tenantId)) {
        if (await store.delete(subject.slice(prefix.length), seq, MARKER_MS)) this.#erased[stream]! += 1;
      }
    } else if (stream === STREAM.eventsRaw) {
      await this.#emptyFilter();
    }
  }

  async #purge(stream: string, filter: string, upTo?: number): Promise<void> {
    if (upTo === 0) return;
    const limit = upTo === undefined ? {} : { seq: upTo + 1 };
    this.#erased[stream]! += (await this.taking.streams.purge(stream, { filter, ...limit })).purged;
  }

  async #emptySessions(place: TenantPlace): Promise<void> {
    const sessions = new Set<string>();
    for await (const { subject } of messagesOf(this.reading, place, this.tenantId)) {
      const session = subject.split('.')[2]!;
      if (sessions.has(session)) continue;
      sessions.add(session);
      await this.#purge(place.stream, `mcp.session.${session}.>`);
      await this.#purge(place.stream, `mcp.changed.subscriptions.${session}`);
    }
  }

  /** Raw events go on to where they are shown or held; then what is held goes. */
  async #emptyFilter(): Promise<void> {
    for (let asked = 0; asked < FILTER_REQUESTS; asked++) {
      const { erased, left } = await this.#filter.ask('empty', { tenant: this.tenantId });
      this.#erased[STREAM.eventsHeld]! += erased;
      if (left.raw + left.held === 0) return;
    }
    throw new Failure(
      `The privacy filter has not come to the end of the events of ${this.tenantId}. When events of it still come, take its sources out; then erase it again.`,
    );
  }

  /** Waits for replicas that are behind: a runner may ask any of them. */
  async #everyReplicaHas(stream: string): Promise<void> {
    for (const until = Date.now() + REPLICAS_MS; ;) {
      const { cluster } = await this.reading.streams.info(stream);
      // One that is away catches up before it answers.
      if (!cluster?.replicas?.some(({ offline, lag = 0 }) => !offline && lag > 0)) return;
      if (Date.now() > until) throw new Failure(`A replica of ${stream} is far behind. Erase again when it is not.`);
      await delay(POLL_MS);
    }
  }

  /** Where something still is when everybody had the time to let go of it. */
  async #left(): Promise<string[]> {
    for (const until = Date.now() + SETTLE_MS; ; await delay(POLL_MS)) {
      const { raw, held } = await this.#filter.ask('count', { tenant: this.tenantId });
      const left = [...(raw > 0 ? [STREAM.eventsRaw] : []), ...(held > 0 ? [STREAM.eventsHeld] : [])] as string[];
      for (const place of this.#places) {
        if (place.kind === 'filter' || place.kind === 'sealed') continue;
        if ((await countOf(this.reading, place, this.tenantId)) > 0) left.push(place.stream);
      }
      const buckets = left.every((stream) => stream.startsWith('KV_'));
      // Only markers go by themselves.
      if (left.length === 0 || !buckets || Date.now() > until) return left;
    }
  }
}

const PSEUDONYM_KEYS = 'KV_PSEUDONYM_KEYS';
/** What is of commands and sagas, which may not have ended; COMMANDS last: an outcome up to here is of a command up to there. */
const OF_COMMANDS = [
  ...[STREAM.schedules, STREAM.sagas, STREAM.dispatch, STREAM.outcomes, STREAM.progress],
  STREAM.commands,
];

function told({ commands, sagas }: OpenWork): string {
  const ids = [...sagas, ...commands.keys()];
  const some = ids.slice(0, TOLD).join(', ');
  return `${commands.size} commands and ${sagas.length} sagas have not ended (${some}${ids.length > TOLD ? ', …' : ''}).`;
}
