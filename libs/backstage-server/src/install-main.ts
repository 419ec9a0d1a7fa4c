/**
 * A program that ends with 0 once Backstage is installed, for whoever cannot wait for a promise; with the argument `scaffolder`, the one
 * that has it. Tells its progress on stderr.
 */
import { PLAIN, SCAFFOLDER } from './fixture.js';
import { installBackstage } from './install.js';

const tell = (line: string) => process.stderr.write(`${line}\n`);
try {
  await installBackstage(tell, process.argv[2] === 'scaffolder' ? SCAFFOLDER : PLAIN);
} catch (error) {
  tell(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
