// A module that says on loading that it is there.
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

static int __init image_probe_init(void)
{
	pr_info("image-probe: built with dkms\n");
	return 0;
}

static void __exit image_probe_exit(void)
{
}

module_init(image_probe_init);
module_exit(image_probe_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Shows that a module of DKMS was built");
