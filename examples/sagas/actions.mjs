/**
 * `repository.create` and `repository.delete`, for `create-service.yaml`: real Git repositories in a folder, the first commit of each with the
 * `catalog-info.yaml` that Backstage's catalog reads. `REPOSITORIES_DIR` says in which folder, `REPOSITORIES_URL` under which address Backstage finds
 * them.
 *
 * A repository keeps the request that made it. So a creation that is repeated finds what it has made, and a deletion never takes a repository that
 * another request has made.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ActionError, ActionSet, defineAction } from '@callboard/actions';
import { z } from 'zod';

const name = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/);
const request = z.string().min(1).max(200).describe('What it is made for; the same for whoever creates and deletes it');
const REQUEST = 'callboard.request';
const AUTHOR = ['-c', 'user.name=Callboard', '-c', 'user.email=callboard@example.org'];

/** @returns what git printed */
function git(folder, args, input = '') {
  return new Promise((resolve, reject) => {
    const child = execFile('git', ['--git-dir', folder, ...args], (error, stdout) =>
      error ? reject(error) : resolve(stdout.trim()),
    );
    // A git that ends before it has read says so when it ends.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

/** The request that made the repository; nothing where there is none, or where nobody wrote one down. */
const requestOf = (folder) =>
  git(folder, ['config', '--file', join(folder, 'config'), '--get', REQUEST]).catch((error) => {
    if (error.code !== 1) throw error;
  });

// JSON is YAML, and whatever an owner is called stays a value.
const catalogInfo = (service, owner) =>
  JSON.stringify({
    apiVersion: 'backstage.io/v1alpha1',
    kind: 'Component',
    metadata: { name: service },
    spec: { type: 'service', lifecycle: 'experimental', owner },
  });

function create(directory, url) {
  return defineAction({
    id: 'repository.create',
    title: 'Create a repository',
    description: 'Makes a Git repository for a service, with a catalog-info.yaml.',
    input: z.object({ name, owner: z.string().min(1).max(200), request }),
    output: z.object({ catalog_info: z.string() }),
    attributes: { destructive: false, idempotent: true },
    ordering: { argument: 'name' },
    run: async ({ name: service, owner, request: by }) => {
      const folder = join(directory, `${service}.git`);
      const made = { catalog_info: `${url}/${service}/catalog-info.yaml` };
      await mkdir(directory, { recursive: true });
      const draft = await mkdtemp(join(directory, '.draft-'));
      try {
        await git(draft, ['init', '--quiet', '--bare', '--initial-branch=main']);
        await git(draft, ['config', REQUEST, by]);
        const blob = await git(draft, ['hash-object', '-w', '--stdin'], catalogInfo(service, owner));
        const tree = await git(draft, ['mktree'], `100644 blob ${blob}\tcatalog-info.yaml\n`);
        const commit = await git(draft, [...AUTHOR, 'commit-tree', tree, '-m', `${service} begins`]);
        await git(draft, ['update-ref', 'refs/heads/main', commit]);
        // All of it or nothing, and never over another: a folder that is not empty is not replaced.
        await rename(draft, folder);
      } catch (error) {
        await rm(draft, { recursive: true, force: true });
        if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
        if ((await requestOf(folder)) === by) return made;
        throw new ActionError(`there is a repository ${service} already`, { code: 'repository_exists', cause: error });
      }
      return made;
    },
  });
}

function remove(directory) {
  return defineAction({
    id: 'repository.delete',
    title: 'Delete a repository',
    description:
      'Deletes the Git repository that a request has made. Where there is none of that request, nothing happens.',
    input: z.object({ name, request }),
    attributes: { destructive: true, idempotent: true },
    ordering: { argument: 'name' },
    run: async ({ name: service, request: by }, { correlationId }) => {
      const folder = join(directory, `${service}.git`);
      if ((await requestOf(folder)) !== by) return `nothing to delete: no repository ${service} of this request`;
      // Gone at once: half a repository would have no request any more.
      const gone = join(directory, `.deleted-${correlationId}`);
      await rename(folder, gone);
      await rm(gone, { recursive: true, force: true });
      return `deleted ${service}`;
    },
  });
}

export function actions(env) {
  const directory = env.REPOSITORIES_DIR ?? 'repositories';
  return new ActionSet([create(directory, env.REPOSITORIES_URL ?? 'http://127.0.0.1:8000'), remove(directory)]);
}
