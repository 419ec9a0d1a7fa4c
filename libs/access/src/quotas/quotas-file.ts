/**
 * The quotas file: how much each tenant may use of what all share. One YAML file, read again whenever it changes, and at SIGHUP.
 *
 * What a tenant's entry leaves out is that of `default`, and what `default` leaves out is what the environment says. A file that cannot be
 * used changes nothing: what was in force stays in force, and `broken` says so until it is mended.
 */
import { readFile } from 'node:fs/promises';
import { ConfigError, FollowedFile, YamlFile, record, shapeOf } from '@callboard/config';
import type { Quota, Quotas } from './quota.js';

/** What is wrong with the quotas file. */
export class QuotasError extends Error {
  override readonly name = 'QuotasError';
}

export interface QuotasFileEvents {
  changed(): void;
  /** What is there now cannot be used. */
  broken(problem: string): void;
}

interface Written {
  commands?: number;
  commands_per_principal?: number;
  calls?: { per_second: number; burst?: number };
  event_subscriptions?: number;
  event_subscriptions_per_principal?: number;
}

interface WrittenFile {
  default: Written;
  tenants: Record<string, Written>;
}

const MOST_TENANTS = 10_000;
const MOST = 10_000_000;

const count = { type: 'integer', minimum: 1, maximum: MOST };
const quota = record({
  commands: count,
  commands_per_principal: count,
  calls: record({ per_second: { type: 'number', minimum: 0.01, maximum: MOST }, burst: count }, ['per_second']),
  event_subscriptions: count,
  event_subscriptions_per_principal: count,
});
const FILE = shapeOf<WrittenFile>(
  record({
    default: { ...quota, default: {} },
    tenants: { type: 'object', maxProperties: MOST_TENANTS, default: {}, additionalProperties: quota },
  }),
);

interface InForce {
  others: Quota;
  tenants: ReadonlyMap<string, Quota>;
}

export class QuotasFile implements Quotas {
  private constructor(
    private readonly file: FollowedFile<InForce> | undefined,
    private readonly withoutFile: InForce,
  ) {}

  /**
   * @param path empty without a file
   * @param unlessWritten what holds where the file says nothing
   * @throws ConfigError when the file cannot be read, QuotasError when it cannot be used as it is now
   */
  static async open(path: string, unlessWritten: Quota, events: QuotasFileEvents): Promise<QuotasFile> {
    const withoutFile: InForce = { others: unlessWritten, tenants: new Map() };
    if (path === '') return new QuotasFile(undefined, withoutFile);
    const read = async () => {
      const text = await readText(path);
      return { text, says: parseQuotas(text, path, unlessWritten) };
    };
    const file = await FollowedFile.open(path, read, {
      changed: () => events.changed(),
      broken: ({ message }) => events.broken(message),
    });
    return new QuotasFile(file, withoutFile);
  }

  of(tenantId: string): Quota {
    return this.#inForce.tenants.get(tenantId) ?? this.#inForce.others;
  }

  /** Of all tenants that the file does not name. */
  get others(): Quota {
    return this.#inForce.others;
  }

  /** Those that the file names. */
  get tenants(): Iterable<[string, Quota]> {
    return this.#inForce.tenants;
  }

  /** Is what is in the file now not in force? */
  get broken(): boolean {
    return this.file?.broken ?? false;
  }

  close(): void {
    this.file?.close();
  }

  get #inForce(): InForce {
    return this.file?.current ?? this.withoutFile;
  }
}

/** @throws QuotasError with the place of what is wrong */
export function parseQuotas(text: string, path: string, unlessWritten: Quota): InForce {
  const written = YamlFile.parse(text, path, QuotasError).check(FILE);
  const others = completed(written.default, unlessWritten);
  const tenants = Object.entries(written.tenants).map(
    ([tenantId, quota]) => [tenantId, completed(quota, others)] as const,
  );
  return { others, tenants: new Map(tenants) };
}

function completed(written: Written, otherwise: Quota): Quota {
  const { commands, commands_per_principal, calls, event_subscriptions, event_subscriptions_per_principal } = written;
  return {
    ...otherwise,
    ...(commands !== undefined && { commands }),
    ...(commands_per_principal !== undefined && { commandsPerPrincipal: commands_per_principal }),
    ...(calls && { calls: { perSecond: calls.per_second, burst: calls.burst ?? Math.ceil(calls.per_second) } }),
    ...(event_subscriptions !== undefined && { eventSubscriptions: event_subscriptions }),
    ...(event_subscriptions_per_principal !== undefined && {
      eventSubscriptionsPerPrincipal: event_subscriptions_per_principal,
    }),
  };
}

async function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => {
    throw new ConfigError([`CALLBOARD_QUOTAS names a file that cannot be read: ${path}`]);
  });
}
