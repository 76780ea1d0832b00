// Which kernel a VM gets where nobody says otherwise, and what is said of the other.
import { expect, test } from "bun:test";
import { chooseKernel, type KernelOptions } from "../../src/core/choose-kernel.ts";

const both: KernelOptions = {
  wish: null,
  image: { release: "6.12-cloud", isOurs: true },
  own: { release: "6.12-banger" },
};
const without: KernelOptions = { ...both, own: { absence: "nobody has built it: make kernel" } };

test("banger's own is taken where it is, and the image's is named with what it has more", () => {
  const { choice, hint } = chooseKernel(both);
  expect(choice).toBe("banger");
  expect(hint).toMatch(/--kernel image .*6\.12-cloud .*module/);
});

test("the image's serves until then, and it is said how to get banger's own and what for", () => {
  const { choice, hint } = chooseKernel(without);
  expect(choice).toBe("image");
  expect(hint).toMatch(/no initramfs.*make kernel/);
});

test("an image that somebody registered keeps the kernel it was registered with", () => {
  const { choice, hint } = chooseKernel({ ...both, image: { release: "6.1", isOurs: false } });
  expect(choice).toBe("image");
  expect(hint).toContain("--kernel banger gives 6.12-banger");
});

test("a wish counts more than either, also one that cannot be granted", () => {
  expect(chooseKernel({ ...both, wish: "image" }).choice).toBe("image");
  expect(chooseKernel({ ...both, wish: "banger", image: { release: "6.1", isOurs: false } }).choice).toBe("banger");
  expect(chooseKernel({ ...without, wish: "banger" }).choice).toBe("banger");
});
