/** Sagas as resources of one MCP server: who watches one is told that it has changed, and reads it. */
import type { Principal } from '@callboard/access';
import type { ServerAccess } from '../server-access.js';
import type { SagaDesk } from './saga-desk.js';
import { SAGA_RESOURCE } from './saga-tools.js';

export class SagaResources {
  constructor(
    private readonly desk: Pick<SagaDesk, 'watch'>,
    private readonly access: Pick<ServerAccess, 'mayRun'>,
  ) {}

  /**
   * Calls back once there is a saga of this URI that is the principal's, and whenever that has changed, as long as policies let it be read.
   * Returns a function that ends it.
   */
  watch(principal: Principal, uri: string, onUpdated: () => void): () => void {
    return this.desk.watch(principal, uri, () => {
      if (this.access.mayRun(principal, SAGA_RESOURCE)) onUpdated();
    });
  }
}

/** Of an MCP server that shows no results: nobody is told of a saga. */
export const HIDDEN_SAGAS: Pick<SagaResources, 'watch'> = { watch: () => () => undefined };
