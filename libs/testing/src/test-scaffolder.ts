/** A real Backstage with the scaffolder, and with the templates of a spec. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SCAFFOLDER } from '@callboard/backstage-server';
import { startBackstage, type TestBackstage, type TestBackstageOptions } from './test-backstage.js';
import { waitFor } from './wait-for.js';

export interface ScaffolderTask {
  id: string;
  status: string;
}

export interface TestScaffolder {
  readonly backstage: TestBackstage;
  readonly folder: string;
  /** Runs a template for a user; returns the id of the task. */
  run(template: string, values: object, userRef?: string): Promise<string>;
  /** What `POST` to a path below a task does: `cancel`, `retry`. */
  tell(taskId: string, what: 'cancel' | 'retry'): Promise<void>;
  task(taskId: string): Promise<ScaffolderTask>;
  tasks(): Promise<ScaffolderTask[]>;
  /** Lines of a task's log, as a user sees them. */
  log(taskId: string): Promise<string[]>;
  /** What the task has ended with, and the outputs of its template. */
  ended(taskId: string, withinMs?: number): Promise<{ status: string; output: Record<string, unknown> }>;
  dispose(): Promise<void>;
}

export interface TestScaffolderOptions extends Pick<TestBackstageOptions, 'env' | 'features'> {
  /** Their steps and outputs, by the templates' names; parameters are what `run` is given. */
  templates: Record<string, { steps: object[]; output?: object }>;
  /** More of the app-config. */
  config?: Record<string, unknown>;
  /** A token for an external access to every plug-in. */
  serviceToken?: string;
}

const USER = 'user:default/ada';

export async function startScaffolder(options: TestScaffolderOptions): Promise<TestScaffolder> {
  const folder = await mkdtemp(join(tmpdir(), 'callboard-scaffolder-'));
  const entities = Object.entries(options.templates).map(([name, spec]) => ({
    apiVersion: 'scaffolder.backstage.io/v1beta3',
    kind: 'Template',
    metadata: { name },
    // Backstage runs the task again, from its beginning, when it has died meanwhile.
    spec: { owner: USER, type: 'spec', EXPERIMENTAL_recovery: { EXPERIMENTAL_strategy: 'startOver' }, ...spec },
  }));
  const catalog = join(folder, 'templates.yaml');
  await writeFile(catalog, entities.map((entity) => `---\n${JSON.stringify(entity)}\n`).join(''));
  const configFile = join(folder, 'app-config.json');
  const { serviceToken } = options;
  const config = {
    ...(serviceToken !== undefined && {
      backend: {
        auth: { externalAccess: [{ type: 'static', options: { token: serviceToken, subject: 'callboard' } }] },
      },
    }),
    scaffolder: { EXPERIMENTAL_recoverTasks: true, EXPERIMENTAL_recoverTasksTimeout: { seconds: 5 } },
    catalog: {
      rules: [{ allow: ['Component', 'API', 'System', 'Group', 'User', 'Template'] }],
      locations: ['${BACKSTAGE_CATALOG}', catalog].map((target) => ({ type: 'file', target })),
    },
    ...options.config,
  };
  await writeFile(configFile, JSON.stringify(config));
  const backstage = await startBackstage({
    ...(options.features && { features: options.features }),
    ...(options.env && { env: options.env }),
    fixture: SCAFFOLDER,
    configFiles: [configFile],
    databaseDir: join(folder, 'database'),
  });
  const ask = async (path: string, body?: object, user = USER): Promise<unknown> => {
    const answer = await fetch(`${backstage.url}/api/${path}`, {
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
      headers: { 'content-type': 'application/json', authorization: `Bearer ${backstage.userToken(user)}` },
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path} was answered ${answer.status}: ${text}`);
    return JSON.parse(text);
  };
  const events = async (taskId: string) =>
    (await ask(`scaffolder/v2/tasks/${taskId}/events`)) as {
      type: string;
      body: { message: string; output?: Record<string, unknown>; error?: { message: string } };
    }[];
  const task = async (taskId: string) => (await ask(`scaffolder/v2/tasks/${taskId}`)) as ScaffolderTask;
  const log = async (taskId: string) =>
    (await events(taskId)).map(({ body }) => (body.error ? `${body.message}: ${body.error.message}` : body.message));
  const areThere = async () => ((await ask('catalog/entities?filter=kind=template')) as []).length === entities.length;
  await waitFor(areThere, { what: 'the templates', timeoutMs: 30_000 }).catch(async (error: Error) => {
    const output = backstage.output();
    await backstage.dispose();
    throw new Error(`${error.message}\n${output.slice(-20_000)}`, { cause: error });
  });
  return {
    backstage,
    folder,
    run: async (template, values, user) => {
      const templateRef = `template:default/${template}`;
      return ((await ask('scaffolder/v2/tasks', { templateRef, values }, user)) as { id: string }).id;
    },
    tell: async (taskId, what) => void (await ask(`scaffolder/v2/tasks/${taskId}/${what}`, {})),
    task,
    tasks: async () => ((await ask('scaffolder/v2/tasks')) as { tasks: ScaffolderTask[] }).tasks,
    log,
    ended: async (taskId, timeoutMs = 30_000) => {
      const isOver = async () => !['open', 'processing'].includes((await task(taskId)).status);
      await waitFor(isOver, { what: `the end of task ${taskId}`, timeoutMs }).catch(async (error: Error) => {
        throw new Error(`${error.message}\n${(await log(taskId)).join('\n')}`, { cause: error });
      });
      const { status } = await task(taskId);
      const completion = (await events(taskId)).findLast(({ type }) => type === 'completion');
      return { status, output: completion?.body.output ?? {} };
    },
    dispose: async () => {
      await backstage.dispose();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
