/**
 * Events as webhooks of a code host send them, some ten KiB each, made from a seed: the same for every run. Most of such an event are links,
 * identifiers and times; a few fields and texts hold persons, addresses and numbers.
 */
import type { Json } from '@callboard/redaction';

const GIVEN = [
  'Ingrid',
  'Mateus',
  'Aleksandra',
  'Tariq',
  'Wojciech',
  'Yolanda',
  'Benedikt',
  'Chiara',
  'Dimitrios',
  'Giulia',
];
const FAMILY = ['Lindqvist', 'Okonkwo', 'Papadopoulos', 'Villanueva', 'Fitzgerald', 'Hernandez', 'Kowalczyk', 'Moreau'];
const WORDS =
  'the deployment of checkout failed after two retries because its database did not answer in time and the queue grew until alerts fired for everyone on call'.split(
    ' ',
  );
const LINKS =
  'archive assignees blobs branches collaborators comments commits compare contents contributors deployments downloads events forks git_commits git_refs git_tags hooks issue_comment issues keys labels languages merges milestones notifications pulls releases stargazers statuses subscribers subscription tags teams trees'.split(
    ' ',
  );

export function webhookEvents(count: number): Json[] {
  return Array.from({ length: count }, (_, i) => new WebhookEvent(i + 1).json());
}

class WebhookEvent {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  json(): Json {
    const repository = this.#repository();
    const sender = this.#account();
    return this.#below(4) === 0 ? this.#push(repository, sender) : this.#pullRequest(repository, sender);
  }

  #push(repository: { [key: string]: Json }, sender: Json): Json {
    return {
      ref: `refs/heads/fix/${this.#pick(WORDS)}-${this.#below(900)}`,
      before: this.#hex(40),
      after: this.#hex(40),
      repository,
      sender,
      pusher: this.#person(),
      commits: Array.from({ length: 4 + this.#below(8) }, () => this.#commit()),
    };
  }

  #pullRequest(repository: { [key: string]: Json }, sender: Json): Json {
    const url = `${String(repository['url'])}/pulls/${this.#below(9000)}`;
    return {
      action: this.#pick(['opened', 'closed', 'synchronize', 'labeled']),
      number: this.#below(9000),
      pull_request: {
        ...this.#links(url),
        id: this.#below(2 ** 30),
        node_id: Buffer.from(`011:PullRequest${this.#below(2 ** 30)}`).toString('base64'),
        title: this.#sentence(7),
        body: `${this.#sentence(40)}\n\nCc ${this.#name()}, call +49 30 ${1_000_000 + this.#below(8_000_000)} if it fails again.`,
        created_at: this.#time(),
        updated_at: this.#time(),
        merge_commit_sha: this.#hex(40),
        user: this.#account(),
        assignees: [this.#account(), this.#account()],
        head: { ref: `feature/${this.#pick(WORDS)}`, sha: this.#hex(40), repo: this.#repository() },
        author_association: 'CONTRIBUTOR',
        draft: false,
      },
      repository,
      sender,
    };
  }

  #repository(): { [key: string]: Json } {
    const name = `${this.#pick(WORDS)}-${this.#pick(WORDS)}`;
    const url = `https://api.code.example/repos/acme/${name}`;
    return {
      id: this.#below(2 ** 30),
      name,
      full_name: `acme/${name}`,
      private: false,
      description: this.#sentence(9),
      ...this.#links(url),
      ssh_url: `git@code.example:acme/${name}.git`,
      pushed_at: this.#time(),
      default_branch: 'main',
      topics: [this.#pick(WORDS), this.#pick(WORDS)],
    };
  }

  #links(url: string): { [key: string]: Json } {
    return { url, ...Object.fromEntries(LINKS.map((link) => [`${link}_url`, `${url}/${link}{/${link}_id}`])) };
  }

  #account(): { [key: string]: Json } {
    const login = `${this.#pick(GIVEN).toLowerCase()}${this.#below(99)}`;
    const url = `https://api.code.example/users/${login}`;
    const links = ['followers', 'following', 'gists', 'starred', 'orgs', 'repos', 'events'];
    return {
      login,
      id: this.#below(2 ** 26),
      avatar_url: `https://avatars.code.example/u/${this.#below(2 ** 26)}?v=4`,
      url,
      ...Object.fromEntries(links.map((link) => [`${link}_url`, `${url}/${link}`])),
      type: 'User',
      site_admin: false,
    };
  }

  #commit(): Json {
    const author = this.#person();
    return {
      id: this.#hex(40),
      tree_id: this.#hex(40),
      message: `${this.#sentence(10)}\n\nSigned-off-by: ${author.name} <${author.email}>`,
      timestamp: this.#time(),
      author,
      committer: this.#person(),
      added: [`src/${this.#pick(WORDS)}/${this.#pick(WORDS)}.ts`],
      modified: [`docs/${this.#pick(WORDS)}.md`, 'package-lock.json'],
    };
  }

  #person(): { name: string; email: string } {
    const name = this.#name();
    return { name, email: `${name.toLowerCase().replace(' ', '.')}@mail.example` };
  }

  #name(): string {
    return `${this.#pick(GIVEN)} ${this.#pick(FAMILY)}`;
  }

  #sentence(words: number): string {
    return Array.from({ length: words }, () => this.#pick(WORDS)).join(' ');
  }

  #time(): string {
    return new Date(1_767_225_600_000 + this.#below(30_000_000) * 1000).toISOString();
  }

  #hex(digits: number): string {
    return Array.from({ length: digits }, () => this.#below(16).toString(16)).join('');
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.#below(items.length)]!;
  }

  /** Numerical Recipes' generator: enough to choose with. */
  #below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }
}
