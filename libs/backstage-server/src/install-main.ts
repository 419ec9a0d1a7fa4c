/** A program that ends with 0 once Backstage is installed, for whoever cannot wait for a promise. Tells its progress on stderr. */
import { installBackstage } from './install.js';

const tell = (line: string) => process.stderr.write(`${line}\n`);
try {
  await installBackstage(tell);
} catch (error) {
  tell(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
