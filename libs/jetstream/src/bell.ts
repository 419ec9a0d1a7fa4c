/** Rings once for all that happened since it was last heard; who waits for it is woken, and who comes later need not wait. */
export class Bell {
  #rung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Resolves when it has rung, or after a while; `false` when it has not. */
  async heard(withinMs: number): Promise<boolean> {
    if (!this.#rung && withinMs > 0) {
      await new Promise<void>((resolve) => {
        const enough = setTimeout(resolve, withinMs);
        this.#wake = () => {
          clearTimeout(enough);
          resolve();
        };
      });
      this.#wake = undefined;
    }
    const rung = this.#rung;
    this.#rung = false;
    return rung;
  }
}
