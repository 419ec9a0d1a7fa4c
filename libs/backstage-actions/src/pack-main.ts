/** `npm run pack:backstage`: makes the package and says where it is. */
import { packActions } from './pack.js';

process.stdout.write(`${await packActions()}\n`);
