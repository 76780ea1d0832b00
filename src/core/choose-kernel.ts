// Decides which kernel a VM gets, banger's own or its image's, and says what the other would bring.
import type { KernelChoice } from "../spec/vm.ts";

export type KernelOptions = {
  /** What its maker or the configuration says; null for `auto`. */
  wish: KernelChoice | null;
  /** The image's kernel, and whether banger built the image, which it then knows. */
  image: { release: string; isOurs: boolean };
  /** banger's own, or why there is none, as a sentence without its end. */
  own: { release: string } | { absence: string };
};

/** What is lost with banger's own kernel, and won. */
const MODULES = "every module of the distribution";
const PLAIN = "needs no initramfs and no disk of modules";

/** An image that somebody else made was registered with a kernel, which it keeps: it may want modules. Pure. */
export const chooseKernel = ({ wish, image, own }: KernelOptions): { choice: KernelChoice; hint: string } => {
  const isThere = "release" in own;
  const choice = wish ?? (isThere && image.isOurs ? "banger" : "image");
  if (choice === "banger")
    return { choice, hint: `banger's own kernel; --kernel image gives ${image.release} with ${MODULES}` };
  const other = isThere
    ? `--kernel banger gives ${own.release}, which ${PLAIN}`
    : `banger's own ${PLAIN}, but ${own.absence}`;
  return { choice, hint: `the image's kernel; ${other}` };
};
