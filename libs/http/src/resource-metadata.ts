/** Serves the metadata with which a client finds out where it gets a token for a protected resource (RFC 9728). They are for everybody. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ROOT_METADATA_PATH, type ProtectedResource } from '@callboard/access';
import { CallboardError } from '@callboard/envelope';
import { answerProblem } from './problem.js';

const HEADERS = {
  'Content-Type': 'application/json',
  'Access-Control-Allow-Origin': '*',
  'Cache-Control': 'public, max-age=300',
};

type Described = Pick<ProtectedResource, 'metadata' | 'metadataPath'>;

export class ResourceMetadata {
  /**
   * @param resources those that there are now
   * @param main the one meant by a client that knows only the host
   */
  constructor(
    private readonly resources: () => Iterable<Described>,
    private readonly main: () => Described | undefined,
  ) {}

  static isMetadata({ url = '' }: IncomingMessage): boolean {
    return url.startsWith(ROOT_METADATA_PATH);
  }

  #find(path: string): string | undefined {
    if (path === ROOT_METADATA_PATH) return this.main()?.metadata;
    for (const { metadata, metadataPath } of this.resources()) if (path === metadataPath) return metadata;
    return undefined;
  }

  handle({ url = '', method }: IncomingMessage, res: ServerResponse): void {
    const metadata = this.#find(url.split('?', 1)[0]!);
    if (metadata === undefined) {
      return answerProblem(res, new CallboardError('not_found', 'There are no metadata of that resource'));
    }
    if (method !== 'GET' && method !== 'HEAD') {
      const error = new CallboardError('invalid_request', 'Only GET is allowed');
      return answerProblem(res, error, { status: 405, headers: { Allow: 'GET, HEAD' } });
    }
    res.writeHead(200, { ...HEADERS, 'Content-Length': Buffer.byteLength(metadata) }).end(metadata);
  }
}
