// Says that it was loaded, and nothing else.
#include <linux/module.h>

static int __init standin_module_init(void)
{
	pr_info("standin_module: loaded\n");
	return 0;
}

static void __exit standin_module_exit(void)
{
}

module_init(standin_module_init);
module_exit(standin_module_exit);
MODULE_DESCRIPTION("Test fixture of the stand-in for Rocky Linux");
MODULE_LICENSE("GPL");
