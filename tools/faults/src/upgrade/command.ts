/**
 * `npm run faults -- upgrade [options]`: a rolling upgrade under load. An installation of an older build gets the users and streams of
 * this one, and then its apps one by one; all of it goes back to the older build, and forward again. Nobody is killed, so no rule has
 * an excuse: every attempt that is not planned is a finding.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { check } from '../checker.js';
import { Load } from '../load.js';
import { Observer } from '../observe.js';
import { Operator } from '../operator.js';
import { count } from '../options.js';
import { renderFigures, renderFindings } from '../report.js';
import { collect, findOutWhoCalls, redriveTheRest } from '../run.js';
import { THIS_BUILD, buildOf, type Build } from './build.js';
import { Installation } from './installation.js';

const USAGE = `npm run faults -- upgrade [options]

  --from REF       the commit of the older build, which is made once and kept in the cache (HEAD~10)
  --replicas N     mcp-frontend and action-runner replicas, each (3)
  --clients N      clients at once (16)
  --think-ms N     how long a client thinks before its next calls, on average (100)
  --values N       calls a key, in groups of one to three (10)
  --seed N         chooses what is called (1)
  --data-dir DIR   a new or empty directory for everything (default: a temporary one)
  --keep           leave the data directory in place
`;

/** More than are ever played: the load ends when the upgrade has. */
const KEYS = 100_000;

interface UpgradeOptions {
  replicas: number;
  clients: number;
  thinkMs: number;
  valuesPerKey: number;
  seed: number;
}

export async function runUpgrade(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      from: { type: 'string', default: 'HEAD~10' },
      replicas: { type: 'string', default: '3' },
      clients: { type: 'string', default: '16' },
      'think-ms': { type: 'string', default: '100' },
      values: { type: 'string', default: '10' },
      seed: { type: 'string', default: '1' },
      'data-dir': { type: 'string' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const say = (line: string) => console.log(line);
  if (values.help) {
    say(USAGE);
    return 0;
  }
  const options: UpgradeOptions = {
    replicas: count('replicas', values.replicas, 2),
    clients: count('clients', values.clients),
    thinkMs: count('think-ms', values['think-ms'], 0),
    valuesPerKey: count('values', values.values),
    seed: count('seed', values.seed, 0),
  };
  const old = await buildOf(values.from, say);
  const dataDir = resolve(values['data-dir'] ?? (await mkdtemp(join(tmpdir(), 'callboard-upgrade-'))));
  const installation = new Installation(dataDir);
  let seen: Awaited<ReturnType<typeof upgradeUnderLoad>> | undefined;
  let stopFailure: string | undefined;
  try {
    say(
      `starting ${options.replicas} front ends and ${options.replicas} runners of the ${old.name} build in ${dataDir}`,
    );
    await installation.start(old, options.replicas);
    seen = await upgradeUnderLoad(installation, old, dataDir, options, say);
  } finally {
    stopFailure = await installation.stop();
  }
  const verdict = check(seen.history);
  const figures = renderFigures({ ...seen, verdict, stopFailure, output: '' });
  say(['', ...figures, '', ...renderFindings(verdict.findings, seen.history)].join('\n'));
  const broken = verdict.findings.length > 0 || stopFailure !== undefined;
  if (stopFailure !== undefined) say(`not drained: ${stopFailure}`);
  say(broken ? `BROKEN: ${verdict.findings.length} findings` : 'kept every rule');
  if (values.keep || broken) say(`data: ${dataDir}`);
  else await rm(dataDir, { recursive: true, force: true });
  return broken ? 1 : 0;
}

async function upgradeUnderLoad(
  installation: Installation,
  old: Build,
  dataDir: string,
  { clients, thinkMs, valuesPerKey, seed }: UpgradeOptions,
  say: (line: string) => void,
) {
  const observer = await Observer.connect(installation.users);
  const caller = await findOutWhoCalls(installation.urls[0]!, undefined, observer);
  const operator = await Operator.start(installation.users, dataDir, observer, caller);
  try {
    const keys = Array.from({ length: KEYS }, (_, index) => `key-${index}`);
    const onCancel = operator.cancel.bind(operator);
    const load = new Load({
      urls: installation.urls,
      token: undefined,
      keys,
      valuesPerKey,
      clients,
      thinkMs,
      seed,
      onCancel,
    });
    const startedAt = Date.now();
    const loading = load.run();
    const operating = operator.run();
    const told = (what: string) => {
      const seconds = ((Date.now() - startedAt) / 1000).toFixed(0);
      say(`${seconds} s: ${load.answered} calls, ${load.retries} retries: ${what}`);
    };
    try {
      await installation.prepare(THIS_BUILD);
      told('the users and streams are those of the new build');
      for (const build of [THIS_BUILD, old, THIS_BUILD]) {
        for (const place of installation.places) {
          await installation.replace(place, build);
          told(`${place.instance} is of the ${build.name} build`);
        }
      }
    } finally {
      load.finish();
      await loading;
      await operator.stop();
    }
    await operating;
    const loadedAt = Date.now();
    await redriveTheRest(operator, observer);
    const restedAt = Date.now();
    const history = await collect(load, operator, observer, dataDir, []);
    return { history, loadMs: loadedAt - startedAt, restMs: restedAt - loadedAt, retries: load.retries };
  } finally {
    await operator.close();
    await observer.close();
  }
}
