/** @throws TypeError naming the option, when it is not a whole number or too small. */
export function count(option: string, text: string, least = 1): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < least) {
    throw new TypeError(`--${option} must be a whole number, ${least} at least`);
  }
  return number;
}
