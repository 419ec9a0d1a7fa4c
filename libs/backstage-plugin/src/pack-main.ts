/** `npm run pack:backstage`: makes the package and says where it is. */
import { packPlugin } from './pack.js';

process.stdout.write(`${await packPlugin()}\n`);
